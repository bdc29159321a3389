"""Parquet files whose rows hold pictures' bytes, as Hugging Face's data sets do."""

import json
import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from convscope.errors import ImageError, MissingExtra
from convscope.image.lists import class_columns
from convscope.image.recipe import JSON
from convscope.image.source.labelling import Class
from convscope.image.source.place import tidy
from convscope.image.source.remote import IN_THIS_PROCESS, open_address, stamp_of
from convscope.image.source.source import Entry, Source

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem
    from pyarrow import Schema
    from pyarrow.parquet import ParquetFile

PARQUET = ".parquet"
# Pictures held at once; a row group may hold a gigabyte of them.
_ROWS_AT_ONCE = 32


class ParquetSource(Source):
    """The rows of a Parquet file or of all those in a folder, here or at an address: `train.parquet/17` is a row.

    The pictures' column is a struct with `bytes`, or binary; that of classes is called as in a list (`label`, `class`,
    `index`, …). A number's name is looked up in what Hugging Face's library writes into the file.
    """

    def __init__(self, place: str | os.PathLike[str]) -> None:
        place = os.fspath(place)
        self._place = place.rstrip("/") if "://" in place else str(tidy(place))
        self.root, files = _files(self._place)
        if not files:
            raise ImageError(f"there is no Parquet file in {place!r}; expected files that end in {PARQUET}")
        self._files = {file.name: file for file in sorted(files, key=lambda each: each.name)}
        self._entries: list[Entry] | None = None
        self._cursor: tuple[str, _Cursor] | None = None
        self._lock = Lock()

    def entries(self) -> Sequence[Entry]:
        if self._entries is None:
            self._entries = []
            for file in self._files.values():
                stamp, classes = file.stamp, file.classes()
                if any(each != (None, None) for each in classes):
                    self.labels_from = "the tables"
                self._entries += [Entry(f"{file.name}/{row}", *told, stamp) for row, told in enumerate(classes)]
            if not self._entries:
                raise ImageError(f"{self._place!r} has no rows; expected one at least")
        return self._entries

    @property
    def spec(self) -> dict[str, JSON] | None:
        return None if self._place.startswith(IN_THIS_PROCESS) else {"kind": "parquet", "place": self._place}

    def bytes(self, name: str) -> bytes:
        file, _, row = name.rpartition("/")
        if file not in self._files or not row.isdecimal():
            raise ImageError(f"there is no row {name!r} in {self._place!r}")
        with self._lock:
            if self._cursor is None or self._cursor[0] != file:
                self._cursor = file, _Cursor(self._files[file])
            return self._cursor[1].bytes(int(row))


@dataclass(frozen=True)
class _File:
    """A Parquet file by its name below the root; `store` has it if it is not on this machine."""

    name: str
    path: str
    stamp: str
    store: "AbstractFileSystem | None" = None

    def open(self) -> "ParquetFile":
        try:
            from pyarrow import ArrowException
            from pyarrow.parquet import ParquetFile
        except ImportError as error:
            raise MissingExtra("reading Parquet files", extra="scan") from error
        try:
            return ParquetFile(self.path if self.store is None else self.store.open(self.path))
        except (ArrowException, OSError) as error:
            raise ImageError(f"can't read {self.name!r}: {' '.join(str(error).split())}") from error

    def classes(self) -> list[Class]:
        """The class of each row."""
        file = self.open()
        schema = file.schema_arrow
        image_column(schema)  # says what is wrong with it, before all rows are told of
        label, index = (None if at is None else schema.names[at] for at in class_columns(schema.names))
        if label is None and index is None:
            return [(None, None)] * file.metadata.num_rows
        names = _class_names(schema, label)
        table = file.read(columns=[each for each in (label, index) if each is not None])
        labels = table[label].to_pylist() if label is not None else [None] * table.num_rows
        indices = table[index].to_pylist() if index is not None else [None] * table.num_rows
        return [_class(*told, names) for told in zip(labels, indices, strict=True)]


class _Cursor:
    """The pictures of a file, a few rows at a time, best asked for in order."""

    def __init__(self, file: _File) -> None:
        self._file = file.open()
        self._column = image_column(self._file.schema_arrow)
        groups = self._file.metadata.num_row_groups
        self._starts = [0, *accumulate(self._file.metadata.row_group(at).num_rows for at in range(groups))]
        self._group = -1
        self._begin, self._rows = 0, list[bytes | None]()
        self._batches: Iterator[Any] = iter(())

    def bytes(self, row: int) -> bytes:
        if not 0 <= row < self._starts[-1]:
            raise ImageError(f"there is no row {row}; the table has {self._starts[-1]}")
        group = bisect_right(self._starts, row) - 1
        if group != self._group or row < self._begin:
            self._group, self._begin, self._rows = group, self._starts[group], []
            self._batches = self._file.iter_batches(_ROWS_AT_ONCE, row_groups=[group], columns=[self._column])
        while row >= self._begin + len(self._rows):
            self._begin += len(self._rows)
            column = next(self._batches).column(0)
            self._rows = (column.field("bytes") if "." in self._column else column).to_pylist()
        data = self._rows[row - self._begin]
        if data is None:
            raise ImageError("the table has no bytes of it; expected the picture itself, not a path")
        return data


def _files(place: str) -> tuple[str, list[_File]]:
    """The root of a place, here or at an address, and the Parquet files in it."""
    if "://" in place:
        store, base = open_address(place)
        if base.endswith(PARQUET):
            root, name = place.rpartition("/")[::2]
            return root, [_File(name, base, stamp_of(store.info(base)), store)]
        begin, found = len(base.rstrip("/")) + 1, store.find(base, detail=True).items()
        remote = ((path[begin:], path, stamp_of(status)) for path, status in found)
        return place, [_File(*each, store) for each in remote if each[0].endswith(PARQUET)]
    top = Path(place)
    root_folder, paths = (top.parent, [top]) if top.is_file() else (top, list(top.rglob("*" + PARQUET)))
    files = []
    for path in paths:
        status = path.stat()
        stamp = f"{status.st_size}-{status.st_mtime_ns}"
        files.append(_File(path.relative_to(root_folder).as_posix(), str(path), stamp))
    return str(root_folder), files


def image_column(schema: "Schema") -> str:
    """The column of pictures' bytes, as Parquet calls it; the first that can be it. Raises ImageError without one."""
    from pyarrow import types

    for name, kind in zip(schema.names, schema.types, strict=True):
        if types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
            return f"{name}.bytes"
        if types.is_binary(kind) or types.is_large_binary(kind):
            return str(name)
    raise ImageError(f"the table has columns {', '.join(schema.names)}, expected one of pictures' bytes among them")


def _class_names(schema: "Schema", label: str | None) -> Sequence[str]:
    """The names of a column's numbers, as Hugging Face's library writes them; none if it does not."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return [str(name) for name in features[label]["names"]]
    except (KeyError, TypeError, ValueError):
        return ()


def _class(label: object, index: object, names: Sequence[str]) -> Class:
    number = index if isinstance(index, int) else None
    if isinstance(label, int):
        return (names[label] if 0 <= label < len(names) else None), (label if number is None else number)
    return (label if isinstance(label, str) else None), number
