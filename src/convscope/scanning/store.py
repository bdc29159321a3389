"""The store of a scan: a folder that holds, whatever moment the work is killed at, each image once or not yet.

    photos.scan/
      header.json             what was scanned with (see `Header`)
      plan/00000.parquet      the pictures that the source was found to have; a picture's id is its place
      lance/pass_0.lance      a row a picture: what is known of it and its codes; a pass more for further layers
      summaries/0/…           the strongest and the usual of each channel, a file a shard until they are merged

A shard is a run of pictures that is kept at once. Its summary is written first, and then its rows are added, by one
commit of the table: that is what makes it count. A summary without rows is written over when the shard is done again.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from convscope.errors import MissingExtra
from convscope.image.write import atomic_path
from convscope.scanning.summary import Summary

if TYPE_CHECKING:
    import pyarrow as pa
    from lancedb.table import Table

# How many shards' summaries are kept apart before they are merged into one.
_MERGED_EVERY = 32
_MERGED = "merged.npz"
_UPTO = "upto"

Summaries = dict[str, Summary]


@dataclass(frozen=True)
class Done:
    """One shard of a pass, done: its rows, as columns, and the summary of each of its layers."""

    number: int
    rows: "pa.Table"
    summaries: Summaries


def make_ready() -> None:
    """Begin to import what a store needs, which takes a second or two, beside other work."""

    def begin() -> None:
        with suppress(ImportError):  # it is told of where a store is opened
            import lancedb  # noqa: F401

    Thread(target=begin, daemon=True).start()


class Store:
    """One pass of a scan on the disk: the rows of its table and its summaries. `done` are the shards it holds."""

    def __init__(self, folder: Path, number: int) -> None:
        try:
            import lancedb
        except ImportError as error:
            raise MissingExtra("a scan", extra="scan") from error
        self._database = lancedb.connect(folder / "lance")
        self._name = f"pass_{number}"
        self._folder = folder / "summaries" / str(number)
        self._upto = _upto(self._folder / _MERGED)
        self.done = {int(number) for number in self.columns(["shard"])["shard"].unique().to_pylist()}

    @property
    def table(self) -> "Table | None":
        """The table; None before the first shard."""
        try:
            return self._database.open_table(self._name)
        except ValueError:
            return None

    def commit(self, done: Done) -> None:
        """Keep a shard."""
        _write(self._file(done.number), done.summaries, 0)
        table = self.table
        if table is None:
            self._database.create_table(self._name, done.rows)
        else:
            table.add(done.rows)
        self.done.add(done.number)
        self._merge(_MERGED_EVERY)

    def finish(self) -> None:
        """Put together what was kept in pieces, and drop what no longer counts."""
        self._merge(1)
        table = self.table
        if table is not None:
            with warnings.catch_warnings():
                # That who reads an older version meanwhile may fail; the scan is locked, and readers open it anew.
                warnings.simplefilter("ignore", UserWarning)
                table.optimize(cleanup_older_than=timedelta(0))

    def summaries(self) -> Summaries:
        """The summary of each layer over all shards that are done; none at all before the first."""
        return self._merged(sorted(self.done))

    def columns(self, names: Sequence[str]) -> "pa.Table":
        """These columns of all rows, in the order of ids."""
        import pyarrow as pa

        table = self.table
        if table is None:
            return pa.table({name: pa.array([], pa.int64()) for name in names})
        found = table.search().select(list({"id": 0, **dict.fromkeys(names)})).to_arrow()
        return found.sort_by("id").select(list(names))

    def batches(self, names: Sequence[str], rows: int) -> "Iterator[pa.RecordBatch]":
        """The same a few rows at a time, in the order in which they were kept."""
        table = self.table
        if table is not None:
            yield from table.search().select(list(names)).to_batches(rows)

    def _file(self, number: int) -> Path:
        return self._folder / f"{number:08}.npz"

    def _merge(self, least: int) -> None:
        """Fold the summaries of the first shards into one file, if they are so many more than are in it, or more."""
        upto = self._upto
        while upto in self.done:
            upto += 1
        if upto - self._upto < least:
            return
        _write(self._folder / _MERGED, self._merged(range(upto)), upto)
        self._upto = upto
        for file in self._folder.glob("[0-9]*.npz"):
            if int(file.stem) < upto:
                file.unlink()

    def _merged(self, shards: Sequence[int]) -> Summaries:
        """The summaries of these shards, in their order, those that are merged already among them."""
        files = [self._folder / _MERGED] if self._upto else []
        files += [self._file(number) for number in shards if number >= self._upto]
        found: Summaries = {}
        for each in map(_read, files):
            found = {layer: found[layer].merged(each[layer]) if found else each[layer] for layer in each}
        return found


def _write(path: Path, summaries: Summaries, upto: int) -> None:
    """`upto`: where it is the merged one, how many of the first shards are in it."""
    arrays = {f"{layer}\n{name}": value for layer, each in summaries.items() for name, value in each.arrays().items()}
    with atomic_path(path) as temporary:
        np.savez(temporary, allow_pickle=False, **{_UPTO: np.array(upto)}, **arrays)


def _upto(path: Path) -> int:
    if not path.exists():
        return 0
    with np.load(path) as file:
        return int(file[_UPTO])


def _read(path: Path) -> Summaries:
    arrays: dict[str, dict[str, NDArray[Any]]] = {}
    with np.load(path) as file:
        for key in file.files:
            layer, _, name = key.partition("\n")
            if name:
                arrays.setdefault(layer, {})[name] = file[key]
    return {layer: Summary.from_arrays(each) for layer, each in arrays.items()}
