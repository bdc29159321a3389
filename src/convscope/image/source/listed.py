"""Pictures that a list names."""

import os
from collections.abc import Sequence
from pathlib import Path

from convscope.errors import ImageError
from convscope.image.bundled import PHOTOGRAPHS, photograph
from convscope.image.lists import LIST_SUFFIXES, Row, read_rows
from convscope.image.read import picture_bytes
from convscope.image.recipe import JSON
from convscope.image.source.labelling import Class, label
from convscope.image.source.place import tidy
from convscope.image.source.source import Entry, Source, Unreadable

LIST_FILES = (".txt", *LIST_SUFFIXES)


class ListSource(Source):
    """The files that a list names, each once; names are relative to the folder that all of them are in.

    The list is a sequence of paths or of bundled photographs' names, a text file with a path a line, or a table with a
    column of files and perhaps of classes (see `read_folder`). A file's paths are relative to its own folder. Classes
    come from the table, else from WordNet ids and folders' names.
    """

    def __init__(self, listed: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> None:
        self._spec: dict[str, JSON]
        rows: Sequence[Row]
        if isinstance(listed, (str, os.PathLike)):
            file = tidy(listed)
            self._spec, self._called = {"kind": "list", "file": str(file)}, file.name
            rows, base = _rows_of(file), file.parent
        else:
            rows, base = [(os.fspath(each), None, None) for each in listed], Path.cwd()
            self._called = "the list"
        classes = {str(tidy(base / _file(name, base))): (label, index) for name, label, index in rows}
        if not classes:
            raise ImageError(f"{self._called} names no picture; expected a path at least")
        if not isinstance(listed, (str, os.PathLike)):
            self._spec = {"kind": "list", "paths": list(classes)}
        self._classes = classes
        self._root = Path(_common_folder(list(classes)))
        self.root = str(self._root)
        self._entries: list[Entry] | None = None

    def entries(self) -> Sequence[Entry]:
        if self._entries is None:
            found, unreadable = [], []
            for path in self._classes:
                try:
                    status = os.stat(path)
                except OSError as error:
                    unreadable.append(Unreadable(Path(path), error.strerror or str(error)))
                    continue
                name = os.path.relpath(path, self._root).replace(os.sep, "/")
                found.append((name, self._classes[path], f"{status.st_size}-{status.st_mtime_ns}"))
            if not found:
                raise ImageError(f"{self._called}: {unreadable[0].path}: {unreadable[0].reason}; expected files")
            found.sort(key=lambda each: each[0].replace("/", "\0"))
            self.unreadable = sorted(unreadable, key=lambda each: each.path)
            told = self._labelled([name for name, _, _ in found], [each for _, each, _ in found])
            self._entries = [Entry(name, *each, stamp) for (name, _, stamp), each in zip(found, told, strict=True)]
        return self._entries

    def _labelled(self, names: list[str], told: list[Class]) -> list[Class]:
        if any(each != (None, None) for each in told):
            self.labels_from = self._called
            return told
        classes, self.labels_from = label(names, self._root.name, ())
        return classes

    @property
    def spec(self) -> dict[str, JSON]:
        return self._spec

    def path(self, name: str) -> Path:
        return self._root / name

    def bytes(self, name: str) -> bytes:
        return picture_bytes(self.path(name))


def _rows_of(file: Path) -> Sequence[Row]:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ImageError(f"can't read the list {str(file)!r}: {error.strerror or error}") from error
    if file.suffix.lower() not in LIST_SUFFIXES:
        lines = data.decode("utf-8-sig", errors="replace").splitlines()
        return [(line.strip(), None, None) for line in lines if line.strip()]
    rows = read_rows(data, need_classes=False)
    if rows is None:
        raise ImageError(
            f"{str(file)!r} has no column of files; expected one that its first line calls file, path or image"
        )
    return [row for row in rows if row[0]]


def _file(name: str, base: Path) -> str | Path:
    return photograph(name) if name in PHOTOGRAPHS and not (base / name).exists() else name


def _common_folder(paths: Sequence[str]) -> str:
    try:
        return os.path.commonpath([os.path.dirname(path) for path in paths])
    except ValueError:  # of several drives
        return ""
