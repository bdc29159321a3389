"""`net.toml`: one's own network in a file, for the command line and the app."""

import re
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convscope.errors import ConvscopeError, MissingExtra, NetworkError, WeightsError, nearest
from convscope.network.zoo.label_files import read_labels
from convscope.network.zoo.output_part import OutputPart
from convscope.network.zoo.toml_keys import check
from convscope.network.zoo.user_code import FUNCTION, find_function

# They say which network it is and what it is called; all other keys are keyword arguments of `Network`.
SOURCES = ("factory", "factory_options", "network", "weights", "weights_key", "name")


@dataclass(frozen=True)
class NetToml:
    """A file whose keys are known and whose values are of the right kind."""

    path: Path
    text: str
    values: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> "NetToml":
        """Read and check. Raises NetworkError, with the line, for what is no TOML, an unknown key or a wrong value."""
        try:
            text = path.read_bytes().decode("utf-8-sig")
            file = cls(path, text, tomllib.loads(text))
        except OSError as error:
            known = sorted(each.name for each in path.parent.glob("*.toml")) if path.parent.is_dir() else []
            near = f"; {nearest(path.name, known)}" if known else "; convscope networks --new writes one"
            raise NetworkError(f"{path} can't be read: {error.strerror or error}{near}") from error
        except UnicodeDecodeError as error:
            raise NetworkError(f"{path} is not text in UTF-8 ({error.reason}); save it as that") from error
        except tomllib.TOMLDecodeError as error:
            raise NetworkError(_syntax_error(path, text, str(error))) from error
        for key, value in file.values.items():
            with file.blaming(key):
                check(key, value)
        return file

    def error(self, key: str | None, message: str) -> NetworkError:
        """An error that names the file and, if it has the key, the line."""
        return NetworkError(f"{self._place(key)}: {message}")

    @contextmanager
    def blaming(self, key: str | None = None, *, without: Collection[str] = ()) -> Iterator[None]:
        """Add file and line to errors: those of `key`, or of the first key that the message names.

        Errors about weights are those of the key `weights`. Keys in `without` were given otherwise, not by the file.
        """
        try:
            yield
        except MissingExtra:
            raise
        except ConvscopeError as error:
            kind = WeightsError if isinstance(error, WeightsError) else NetworkError
            words = ["weights"] if kind is WeightsError else [key] if key else re.findall(r"\w+", str(error))
            own = (word for word in words if word in self.values and word not in without)
            raise kind(f"{self._place(next(own, None))}: {error}") from error

    @property
    def name(self) -> str:
        """What recipes call the network: the file's own name, never its path."""
        return str(self.values.get("name", self.path.name))

    @property
    def folders(self) -> list[Path]:
        """Where the user's own code is looked for."""
        return list(dict.fromkeys([self.path.parent.resolve(), Path.cwd()]))

    @property
    def weights(self) -> Path | None:
        """The file of weights, wherever the working folder is."""
        return self.path.parent / self.values["weights"] if "weights" in self.values else None

    @property
    def source(self) -> str:
        """The key that says which network it is: "factory", "network", or else "weights".

        Raises
        ------
        NetworkError
            None of them is given, or both a factory and a network.
        """
        given = [key for key in ("factory", "network", "weights") if key in self.values]
        if not given:
            raise self.error(None, 'names no network; add factory = "module:function" or network = "torchvision:NAME"')
        if given[:2] == ["factory", "network"]:
            raise self.error("network", "names a network beside the factory; expected one or the other")
        if "factory_options" in self.values and given[0] != "factory":
            raise self.error("factory_options", "options for a factory, but there is none; add factory = …")
        if "weights_key" in self.values and "weights" not in given:
            raise self.error("weights_key", "names a part of a file of weights, but there is none; add weights = …")
        return given[0]

    @property
    def spec(self) -> str:
        """What its source is called: a function, a network's name, or a file of weights beside it."""
        given = str(self.values[self.source])
        library, colon, name = given.rpartition(":")
        beside = (self.path.parent / name).resolve()
        is_there = beside.is_dir() if library == "transformers" else not library and beside.is_file()
        return f"{library}{colon}{beside}" if is_there else given

    def options(self) -> dict[str, Any]:
        """The keyword arguments of `Network` that the file gives."""
        found: dict[str, Any] = {}
        for key, value in self.values.items():
            if key not in SOURCES:
                with self.blaming(key):
                    found[key] = _READERS.get(key, _plain)(self, value)
        return found

    def _place(self, key: str | None) -> str:
        line = _line_of(key, self.text) if key else None
        return f"{self.path}, line {line}" if line else str(self.path)


def _plain(file: NetToml, value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _function(file: NetToml, value: str) -> Callable[..., Any]:
    return find_function(value, file.folders)


def _output(file: NetToml, value: str | int) -> Callable[[Any], Any]:
    return _function(file, value) if isinstance(value, str) and FUNCTION.fullmatch(value) else OutputPart(value)


_READERS: dict[str, Callable[[NetToml, Any], Any]] = {
    "normalize": _function,
    "loader": _function,
    "output": _output,
    "labels": lambda file, value: read_labels(value, file.path.parent),
}


def _line_of(key: str, text: str) -> int | None:
    r"""The line that sets `key` or opens its table; what is set within another table doesn't count.

    >>> _line_of("head", 'factory = "a:b"\n# head = "none"\nhead = "sigmoid"')
    3
    """
    outside = True
    for number, line in enumerate(text.splitlines(), 1):
        table = re.match(r"\s*\[+\s*[\"']?([\w-]+)[^=]*\]", line)
        value = re.match(r"\s*[\"']?([\w-]+)[\"']?\s*[=.]", line)
        if (table and table[1] == key) or (outside and value and value[1] == key):
            return number
        outside = outside and not table
    return None


def _syntax_error(path: Path, text: str, message: str) -> str:
    """What is wrong and where. The parser's message ends in "(at line 3, column 9)" or "(at end of document)"."""
    reason, _, place = message.rpartition(" (at ")
    found = re.match(r"line (\d+)", place)
    line = int(found[1]) if found else len(text.splitlines())
    windows = "; write paths with / or in 'single quotes'" if "\\" in message or "hex" in message else ""
    return f"{path}, line {line}: {reason}; expected key = value, with text in quotes{windows}"
