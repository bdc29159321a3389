"""The plan of a scan: which pictures there are, in an order that stays."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from convscope.image.write import atomic_path

if TYPE_CHECKING:
    from convscope.image.sources import Entry

_FOLDER = "plan"
_GROUP = 4096


@dataclass(frozen=True)
class Planned:
    """A picture and its id."""

    id: int
    entry: "Entry"


def write_part(folder: Path, number: int, entries: "Sequence[Entry]") -> None:
    """Add what a reading of the source brought."""
    import pyarrow as pa
    from pyarrow import parquet

    columns = {name: [getattr(each, name) for each in entries] for name in ("name", "label", "index", "stamp")}
    kinds = [("name", pa.string()), ("label", pa.string()), ("index", pa.int64()), ("stamp", pa.string())]
    with atomic_path(_file(folder, number)) as temporary:
        parquet.write_table(pa.table(columns, schema=pa.schema(kinds)), temporary, row_group_size=_GROUP)


def read_part(folder: Path, number: int, first: int, count: int) -> "list[Entry]":
    """So many of its pictures, from the one at `first` on."""
    from pyarrow import parquet

    from convscope.image.sources import Entry

    with parquet.ParquetFile(_file(folder, number)) as file:
        groups = range(first // _GROUP, -(-(first + count) // _GROUP))
        found = file.read_row_groups([*groups]).slice(first % _GROUP, count)
    return [Entry(**each) for each in found.to_pylist()]


def read_plan(folder: Path, parts: Sequence[int]) -> "Iterator[Planned]":
    """All pictures of parts that have so many, with their ids."""
    at = 0
    for number, pictures in enumerate(parts):
        for first in range(0, pictures, _GROUP):
            for entry in read_part(folder, number, first, min(_GROUP, pictures - first)):
                yield Planned(at, entry)
                at += 1


def _file(folder: Path, number: int) -> Path:
    return folder / _FOLDER / f"{number:05}.parquet"


@dataclass(frozen=True)
class Shard:
    """A run of pictures that is kept at once: `count` of a part's, from `first` on; the first has the id `id`."""

    number: int
    part: int
    first: int
    count: int
    id: int


def shards(parts: Sequence[int], size: int) -> list[Shard]:
    """All shards of parts that have so many pictures. None goes beyond its part, so that later parts change nothing.

    >>> [(shard.id, shard.count) for shard in shards([5, 2], 3)]
    [(0, 3), (3, 2), (5, 2)]
    """
    found: list[Shard] = []
    before = 0
    for part, pictures in enumerate(parts):
        for first in range(0, pictures, size):
            count = min(size, pictures - first)
            found.append(Shard(len(found), part, first, count, before + first))
        before += pictures
    return found
