"""The one reader of folders, lists, tables, addresses and data sets for all that takes many pictures."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from torch.utils.data import Dataset

from convscope.errors import ImageError
from convscope.image.source.dataset import DatasetSource
from convscope.image.source.folder import Folder, FolderSource, Photograph, read_folder
from convscope.image.source.listed import LIST_FILES, ListSource
from convscope.image.source.parquet import PARQUET, ParquetSource
from convscope.image.source.remote import RemoteSource
from convscope.image.source.source import Entry, Source, Unreadable

__all__ = [
    "Entry", "Folder", "Photograph", "Source", "SourceLike", "Unreadable", "open_source", "read_folder", "source_from",
]  # fmt: skip

SourceLike: TypeAlias = str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Dataset[Any] | Source


def open_source(source: SourceLike, *, every_file: bool = False) -> Source:
    """The pictures of a source, which is one of these.

    - a folder: see `read_folder`, `every_file` too;
    - a sequence of paths, a `.txt` file with a path a line, or a `.csv` or `.tsv` table with a column of files and
      perhaps of classes;
    - a Parquet file, or a folder of them, with pictures' bytes;
    - an address, `s3://bucket/photos`, of pictures or Parquet files, that fsspec opens;
    - a torch Dataset with a length, of images in [0, 1] or pictures of Pillow, with classes or without.

    Nothing is read before it is asked for. Raises ImageError if it is none of these or not there; MissingExtra if it
    needs a package that is not installed.

    >>> [entry.name for entry in open_source(["chelsea", "camera"]).entries()]
    ['camera.png', 'chelsea.png']
    """
    if isinstance(source, Source):
        return source
    if isinstance(source, (str, os.PathLike)):
        return _at(os.fspath(source), every_file)
    if isinstance(source, (list, tuple)) and all(isinstance(each, (str, os.PathLike)) for each in source):
        return ListSource(source)
    return DatasetSource(source)  # type: ignore[arg-type]  # checked there


def source_from(spec: Mapping[str, Any]) -> Source:
    """The source that has this `spec`."""
    match spec:
        case {"kind": "folder", "path": path, "every_file": every_file}:
            return FolderSource(path, every_file=every_file)
        case {"kind": "list", "file": listed} | {"kind": "list", "paths": listed}:
            return ListSource(listed)
        case {"kind": "parquet", "place": place}:
            return ParquetSource(place)
        case {"kind": "address", "address": address}:
            return RemoteSource(address)
    raise ImageError(f"got a source of kind {spec.get('kind')!r}, expected folder, list, parquet or address")


def _at(place: str, every_file: bool) -> Source:
    path = Path(place)
    if "://" in place:
        return ParquetSource(place) if place.endswith(PARQUET) else RemoteSource(place)
    if path.is_file() and path.suffix.lower() in LIST_FILES:
        return ListSource(path)
    if path.is_file() and path.suffix.lower() == PARQUET:
        return ParquetSource(path)
    return ParquetSource(path) if _is_of_tables(path) else FolderSource(path, every_file=every_file)


def _is_of_tables(folder: Path) -> bool:
    """Whether there are Parquet files right in a folder, or in its `data` as on Hugging Face."""
    places = (folder, folder / "data")
    return any(next(each.glob("*" + PARQUET), None) is not None for each in places if each.is_dir())
