"""Functions of the user's own, by `package.module:function`."""

import importlib
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from convscope.errors import NetworkError, nearest

FUNCTION = re.compile(r"[\w.]+:\w+")

# Modules that came from a folder of the user's: another folder may have others of the same names.
_folder_of: dict[str, Path] = {}


def find_function(spec: str, folders: Sequence[Path]) -> Callable[..., Any]:
    """What `spec` names, looked for in `folders`, in this order, and then among what is installed.

    Raises
    ------
    NetworkError
        The module or the function isn't there, or importing it fails.
    """
    module_name, _, name = spec.partition(":")
    module = _import(module_name, folders)
    function: Callable[..., Any] | None = getattr(module, name, None)
    if not callable(function):
        known = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        raise NetworkError(f"{module_name} has no function {name!r}; {nearest(name, known)}")
    return function


@contextmanager
def importing_from(folders: Sequence[Path]) -> Iterator[None]:
    """Let imports find modules in `folders` first; afterwards `sys.path` is as it was."""
    for name in [name for name, folder in _folder_of.items() if folder not in folders]:
        sys.modules.pop(name, None)
        del _folder_of[name]
    # A file written a moment ago may not have been noticed yet.
    importlib.invalidate_caches()
    before, paths = set(sys.modules), [str(folder) for folder in folders]
    sys.path[:0] = paths
    try:
        yield
    finally:
        for path in paths:
            sys.path.remove(path)
        _folder_of.update(
            (name, folder) for name in sys.modules.keys() - before for folder in folders if _lies_in(name, folder)
        )


def _lies_in(name: str, folder: Path) -> bool:
    file = getattr(sys.modules[name], "__file__", None)
    place = folder.joinpath(*name.split("."))
    return file is not None and Path(file) in (place.with_name(f"{place.name}.py"), place / "__init__.py")


def _import(name: str, folders: Sequence[Path]) -> ModuleType:
    try:
        with importing_from(folders):
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            places = " or ".join(map(str, folders))
            raise NetworkError(f"no module {error.name!r}, neither installed nor in {places}") from error
        raise NetworkError(f"importing {name} failed: {error}") from error
    except Exception as error:
        raise NetworkError(f"importing {name} raised {type(error).__name__}: {error}") from error
