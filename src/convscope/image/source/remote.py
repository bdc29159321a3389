"""Pictures at an address that fsspec opens: s3://…, gs://…, https://…, memory://…"""

import posixpath
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from convscope.errors import ImageError, MissingExtra
from convscope.image.formats import READABLE
from convscope.image.lists import LIST_SUFFIXES, read_rows
from convscope.image.recipe import JSON
from convscope.image.source.folder import PICTURE_SUFFIXES
from convscope.image.source.labelling import Table, label
from convscope.image.source.source import Entry, Source

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

IN_THIS_PROCESS = ("memory://",)
"""How addresses begin that no other process can open."""
# What stores call that which tells one version of a file from another, the surest first.
_VERSIONS = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "updated", "created")


class RemoteSource(Source):
    """The pictures below an address, known by their names' ends; classes are told as in a folder by `read_folder`.

    Keys and options of a store are what fsspec finds in the environment and its configuration.
    """

    def __init__(self, address: str) -> None:
        self.root = address.rstrip("/")
        self._files, self._base = open_address(address)
        self._entries: list[Entry] | None = None

    def entries(self) -> Sequence[Entry]:
        if self._entries is None:
            found = self._listed()
            names = sorted(filter(_is_called_picture, found), key=lambda name: name.replace("/", "\0"))
            if not names:
                raise ImageError(f"there is no picture at {self.root!r}; expected {READABLE} files below it")
            tables = (table for name in sorted(found) if (table := self._table(name)) is not None)
            classes, self.labels_from = label(names, posixpath.basename(self._base), tables)
            rows = zip(names, classes, strict=True)
            self._entries = [Entry(name, *told, stamp_of(found[name])) for name, told in rows]
        return self._entries

    def _listed(self) -> dict[str, Mapping[str, Any]]:
        try:
            found = self._files.find(self._base, detail=True)
        except Exception as error:  # each store fails in its own ways
            raise ImageError(f"can't list {self.root!r}: {error}") from error
        begin = len(self._base.rstrip("/")) + 1
        named = ((path[begin:], status) for path, status in found.items())
        return {name: status for name, status in named if not any(part.startswith(".") for part in name.split("/"))}

    def _table(self, name: str) -> Table | None:
        if "/" in name or not name.lower().endswith(LIST_SUFFIXES):
            return None
        rows = read_rows(self.bytes(name))
        return None if rows is None else Table(name, rows)

    @property
    def spec(self) -> dict[str, JSON] | None:
        return None if self.root.startswith(IN_THIS_PROCESS) else {"kind": "address", "address": self.root}

    def bytes(self, name: str) -> bytes:
        try:
            return bytes(self._files.cat_file(f"{self._base.rstrip('/')}/{name}"))
        except Exception as error:  # each store fails in its own ways
            raise ImageError(" ".join(str(error).split()) or type(error).__name__) from error


def open_address(address: str) -> tuple["AbstractFileSystem", str]:
    """The store that an address is in, and its path there. Raises MissingExtra without fsspec, ImageError else."""
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise MissingExtra(f"reading {address}", extra="scan") from error
    try:
        return url_to_fs(address)  # type: ignore[no-any-return]  # fsspec has no types
    except (ImportError, ValueError, OSError) as error:
        raise ImageError(f"can't open {address!r}: {error}; expected an address that fsspec knows") from error


def stamp_of(status: Mapping[str, Any]) -> str:
    """What tells a changed file, of a store's own account of it."""
    version = next((status[key] for key in _VERSIONS if status.get(key)), "")
    return f"{status.get('size')}-{version}"


def _is_called_picture(name: str) -> bool:
    return name.lower().endswith(PICTURE_SUFFIXES)
