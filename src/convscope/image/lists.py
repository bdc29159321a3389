"""Lists of pictures and their classes, as tables with named columns."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

LIST_SUFFIXES = (".tsv", ".csv")
_FILE = ("file", "filename", "file_name", "path", "filepath", "file_path", "image", "image_path", "picture", "photo")
_LABEL = ("label", "class", "label_name", "class_name", "category", "wordnet_id", "synset", "species", "name")
_INDEX = ("index", "label_id", "class_id", "category_id", "target")
_DELIMITERS = "\t;,"


Row: TypeAlias = tuple[str, str | None, int | None]
"""A picture's file as the list calls it, its label, its class's index."""


@dataclass(frozen=True)
class ClassList:
    """The rows of a list."""

    path: Path
    rows: tuple[Row, ...]


def read_list(path: Path) -> ClassList | None:
    """The list in a file, or None if its first line names no column of files beside one of labels or indices.

    Columns are known by their names, whatever the case: `file`, `path`, `image`, …; `label`, `class`, …; `index` or
    whatever ends with `_index`. A label that is a number is an index.
    """
    try:
        rows = read_rows(path.read_bytes())
    except OSError:
        return None
    return None if rows is None else ClassList(path, rows)


def read_rows(data: bytes, *, need_classes: bool = True) -> tuple[Row, ...] | None:
    """The rows of a list that is held in memory; without `need_classes` a column of files is enough."""
    try:
        # utf-8-sig: spreadsheets begin a file with a mark. A byte that is no UTF-8 only spoils the row it is in.
        lines = data.decode("utf-8-sig", errors="replace").splitlines()
        header, *body = csv.reader(lines, delimiter=max(_DELIMITERS, key=(lines or [""])[0].count))
    except (ValueError, csv.Error):  # ValueError: there is no line
        return None
    file = next(iter(_places(header, _FILE)), None)
    label, index = class_columns(header)
    if file is None or (need_classes and label is None and index is None):
        return None
    rows = ((_cell(row, file), _cell(row, label), _cell(row, index)) for row in body)
    return tuple((name.replace("\\", "/"), *_class(text, number)) for name, text, number in rows)


def class_columns(header: Sequence[str]) -> tuple[int | None, int | None]:
    """Which of the columns so named holds labels, and which indices.

    >>> class_columns(["image", "fine_label", "label", "class index"])
    (2, 3)
    """
    label, index = (next(iter(_places(header, wanted)), None) for wanted in (_LABEL, _INDEX))
    if index is None:
        index = next((at for at, name in enumerate(map(_plain, header)) if name.endswith("_index")), None)
    return label, index


def _places(header: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Where the columns are that have one of the names, the most usual name first."""
    names = [_plain(name) for name in header]
    return [names.index(each) for each in wanted if each in names]


def _plain(name: str) -> str:
    return name.strip().lower().replace(" ", "_").replace("-", "_")


def _cell(row: Sequence[str], column: int | None) -> str:
    return row[column].strip() if column is not None and column < len(row) else ""


def _class(label: str, number: str) -> tuple[str | None, int | None]:
    if label.isdecimal() and not number:
        label, number = "", label
    return label or None, int(number) if number.isdecimal() else None
