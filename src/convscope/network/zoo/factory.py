"""`package.module:function`: networks that the user's own code builds."""

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from torch import Tensor, nn

from convscope.errors import NetworkError, nearest
from convscope.network.network import Network
from convscope.network.zoo.found import Found
from convscope.network.zoo.matching import load_weights


def find_factory(spec: str, state: Mapping[str, Tensor] | None) -> Found | Network:
    """Call `spec` without arguments; it may give a module or a whole `Network`.

    Raises
    ------
    NetworkError
        The module or the function isn't there, fails, or returns something else.
    WeightsError
        `state` doesn't fit.
    """
    module_name, _, function = spec.partition(":")
    module = _import(module_name)
    build = getattr(module, function, None)
    if not callable(build):
        known = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        raise NetworkError(f"{module_name} has no function {function!r}; {nearest(function, known)}")
    try:
        built = build()
    except Exception as error:
        raise NetworkError(f"{spec}() raised {type(error).__name__}: {error}") from error
    if isinstance(built, Network) and state is None:
        return built
    if isinstance(built, Network):
        raise NetworkError(f"{spec}() returned a Network, which has its weights; return the nn.Module to load others")
    if not isinstance(built, nn.Module):
        raise NetworkError(f"{spec}() returned {type(built).__name__}; expected an nn.Module or a Network")
    return Found(built, match=None if state is None else load_weights(built, state))


def _import(name: str) -> ModuleType:
    try:
        with _current_folder_first():
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            raise NetworkError(f"no module {error.name!r}, neither installed nor in {Path.cwd()}") from error
        raise NetworkError(f"importing {name} failed: {error}") from error
    except Exception as error:
        raise NetworkError(f"importing {name} raised {type(error).__name__}: {error}") from error


@contextmanager
def _current_folder_first() -> Iterator[None]:
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
