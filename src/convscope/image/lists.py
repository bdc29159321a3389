"""Lists of pictures and their classes, as tables with named columns."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

LIST_SUFFIXES = (".tsv", ".csv")
_FILE = ("file", "filename", "file_name", "path", "filepath", "file_path", "image", "image_path", "picture", "photo")
_LABEL = ("label", "class", "label_name", "class_name", "category", "wordnet_id", "synset", "species", "name")
_INDEX = ("index", "label_id", "class_id", "category_id", "target")
_DELIMITERS = "\t;,"


@dataclass(frozen=True)
class ClassList:
    """The rows of a list: a picture's file as the list calls it, its label, its class's index."""

    path: Path
    rows: tuple[tuple[str, str | None, int | None], ...]


def read_list(path: Path) -> ClassList | None:
    """The list in a file, or None if its first line names no column of files beside one of labels or indices.

    Columns are known by their names, whatever the case: `file`, `path`, `image`, …; `label`, `class`, …; `index` or
    whatever ends with `_index`. A label that is a number is an index.
    """
    try:
        # utf-8-sig: spreadsheets begin a file with a mark. A byte that is no UTF-8 only spoils the row it is in.
        lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
        header, *body = csv.reader(lines, delimiter=max(_DELIMITERS, key=(lines or [""])[0].count))
    except (OSError, ValueError, csv.Error):  # ValueError: there is no line
        return None
    names = [name.strip().lower().replace(" ", "_").replace("-", "_") for name in header]
    file, label, index = (_column(names, wanted) for wanted in (_FILE, _LABEL, _INDEX))
    if index is None:
        index = next((at for at, name in enumerate(names) if name.endswith("_index")), None)
    if file is None or (label is None and index is None):
        return None
    rows = ((_cell(row, file), _cell(row, label), _cell(row, index)) for row in body)
    return ClassList(path, tuple((name.replace("\\", "/"), *_class(text, number)) for name, text, number in rows))


def _column(names: Sequence[str], wanted: Sequence[str]) -> int | None:
    return next((names.index(each) for each in wanted if each in names), None)


def _cell(row: Sequence[str], column: int | None) -> str:
    return row[column].strip() if column is not None and column < len(row) else ""


def _class(label: str, number: str) -> tuple[str | None, int | None]:
    if label.isdecimal() and not number:
        label, number = "", label
    return label or None, int(number) if number.isdecimal() else None
