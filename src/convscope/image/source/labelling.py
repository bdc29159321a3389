"""Classes of pictures by a list, by WordNet ids in their names, or by the names of their folders."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TypeAlias

from convscope.image.lists import Row

Class: TypeAlias = tuple[str | None, int | None]
"""A label and an index, either None."""

_WORDNET_ID = re.compile(r"n\d{8}(?!\d)")


@dataclass(frozen=True)
class Table:
    """A list of pictures and their classes that lies with them, and what to call it."""

    name: str
    rows: Sequence[Row]


def label(names: Sequence[str], root: str, tables: Iterable[Table]) -> tuple[list[Class], str | None]:
    """The class of each file, by the first that knows any, and what that was.

    `names` are paths with slashes below the folder called `root`, which a list's paths may begin with.
    """
    for table in tables:
        if rows := _rows_of(names, root, table.rows):
            return [rows.get(at, (None, None)) for at in range(len(names))], table.name
    ids = [_wordnet_id(name) for name in names]
    if any(ids):
        return [(each, None) for each in ids], "WordNet ids in the names"
    if any("/" in name for name in names):
        of_folder: dict[str, Class] = {}
        return [_of_folder(name, of_folder) for name in names], "the folders' names"
    return [(None, None)] * len(names), None


def _rows_of(names: Sequence[str], root: str, rows: Sequence[Row]) -> dict[int, Class]:
    """The class of each file that the rows name: by its path, or by a name that no other has."""
    at_path = {name: at for at, name in enumerate(names)}
    at_name: dict[str, int | None] = {}
    for at, name in enumerate(names):
        own = name.rsplit("/", 1)[-1]
        at_name[own] = None if own in at_name else at
    classes = {}
    for name, text, index in rows:
        if (text, index) == (None, None):
            continue
        found = at_path.get(name, at_path.get(name.removeprefix(root + "/")))
        if found is None:
            found = at_name.get(name.rsplit("/", 1)[-1])
        if found is not None:
            classes[found] = (text, index)
    return classes


def _wordnet_id(name: str) -> str | None:
    for part in reversed(name.rsplit("/", 2)[-2:]):
        if match := _WORDNET_ID.match(part):
            return match.group()
    return None


def _of_folder(name: str, known: dict[str, Class]) -> Class:
    """The class that the folder of a file is; one text for all its files."""
    folder = name.rpartition("/")[0]
    if folder not in known:
        own = PurePosixPath(folder).name
        known[folder] = (None, int(own)) if own.isdecimal() else (own or None, None)
    return known[folder]
