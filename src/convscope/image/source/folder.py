"""Folders of photographs, and what is known of each one's class."""

import os
import stat
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from convscope.errors import ImageError, nearest
from convscope.image.formats import FORMATS, HEAD, READABLE, identify
from convscope.image.lists import LIST_SUFFIXES, read_list
from convscope.image.read import picture_bytes
from convscope.image.recipe import JSON
from convscope.image.source.labelling import Class, Table, label
from convscope.image.source.place import tidy
from convscope.image.source.source import Entry, Source, Unreadable

PICTURE_SUFFIXES = tuple(".jpg .jpeg .jpe .jfif .png .webp .tif .tiff .npy .dcm .gif .bmp .heic .avif .jp2".split())
"""What people call pictures. A file so called that is none is worth a word, any other is passed over."""


@dataclass(frozen=True)
class Photograph:
    """A picture file, with its class as the folder tells it: a name or WordNet id, a number, both or neither."""

    path: Path
    label: str | None = None
    index: int | None = None


@dataclass(frozen=True)
class Folder:
    """The photographs below a folder, sorted by path; `labels_from` says in words what told their classes."""

    path: Path
    photographs: tuple[Photograph, ...]
    unreadable: tuple[Unreadable, ...] = ()
    labels_from: str | None = None


def read_folder(path: str | os.PathLike[str], *, every_file: bool = False) -> Folder:
    """The photographs in a folder and the folders below it, with their classes; pixels are not read yet.

    A file counts by what it begins with, or with `every_file` whatever it is, for networks that have their own loader.
    Names that begin with a dot are passed over; links are followed, each folder once. Classes come from the first of
    these that tells any:

    - a list in the folder or beside it, separated by tabs, commas or semicolons, whose first line names its columns: a
      `file`, and a `label`, an `index` or both (`photos.tsv`: file, imagenet_index, label);
    - WordNet ids that files or their folders begin with (`n01443537_goldfish.JPEG`);
    - the names of the folders that the files are in; digits are a class's index.

    Raises ImageError if there is no such folder, or no photograph in it.

    >>> import tempfile
    >>> from convscope.image.bundled import photograph
    >>> with tempfile.TemporaryDirectory() as name:
    ...     (Path(name) / "cat").mkdir()
    ...     _ = (Path(name) / "cat" / "1.png").write_bytes(photograph("chelsea").read_bytes())
    ...     folder = read_folder(name)
    >>> folder.photographs[0].label, folder.labels_from
    ('cat', "the folders' names")
    """
    folder = Path(path)
    found = _Found(folder, every_file=every_file, look_into_all=True)
    told = zip(found.names, found.classes, strict=True)
    photographs = tuple(Photograph(folder / name, *each) for name, each in told)
    return Folder(folder, photographs, tuple(found.unreadable), found.labels_from)


class FolderSource(Source):
    """The photographs of a folder as `read_folder` finds them.

    But files that are called pictures are not looked into before they are read, which takes long where there are many:
    what is none of them is told of when it is opened.
    """

    def __init__(self, path: str | os.PathLike[str], *, every_file: bool = False) -> None:
        check_folder(Path(path))
        self._folder, self._every_file = tidy(path), every_file
        self.root = str(self._folder)
        self._entries: list[Entry] | None = None

    def entries(self) -> Sequence[Entry]:
        if self._entries is None:
            found = _Found(self._folder, every_file=self._every_file, look_into_all=False)
            self.unreadable, self.labels_from = found.unreadable, found.labels_from
            rows = zip(found.names, found.classes, found.stamps, strict=True)
            self._entries = [Entry(name, *told, stamp) for name, told, stamp in rows]
        return self._entries

    @property
    def spec(self) -> dict[str, JSON]:
        return {"kind": "folder", "path": self.root, "every_file": self._every_file}

    def path(self, name: str) -> Path:
        return self._folder / name

    def bytes(self, name: str) -> bytes:
        return picture_bytes(self.path(name))


# A folder's name, with a slash at its end, and its path.
_Place: TypeAlias = tuple[str, str]


class _Found:
    """The picture files below a folder, sorted by path; `names` are relative to it, with slashes."""

    def __init__(self, folder: Path, *, every_file: bool, look_into_all: bool) -> None:
        check_folder(folder)
        self._every_file, self._look_into_all = every_file, look_into_all
        self.unreadable: list[Unreadable] = []
        found = [
            (name, f"{status.st_size}-{status.st_mtime_ns}")
            for name, file, status in self._files(folder)
            if self._is_picture(name, file, status)
        ]
        if not found:
            first = next(iter(self.unreadable), None)
            seen = f"; {first.path.name}: {first.reason}" if first else ""
            raise ImageError(
                f"there is no picture in {str(folder)!r}{seen}; expected {READABLE} files in it or below it"
            )
        found.sort(key=lambda each: each[0].replace("/", "\0"))  # a folder's files stay together
        self.unreadable.sort(key=lambda each: each.path)
        self.names, self.stamps = [name for name, _ in found], [stamp for _, stamp in found]
        self.classes: list[Class]
        self.classes, self.labels_from = label(self.names, tidy(folder).name, lists_of(folder))

    def _files(self, folder: Path) -> Iterator[tuple[str, str, os.stat_result]]:
        """The name, path and status of each file below a folder; a folder reached again, by a link, is not entered."""
        entered, waiting = {_identity(folder.stat())}, [("", str(folder))]
        while waiting:
            prefix, here = waiting.pop()
            try:
                folders = yield from self._files_in(prefix, here)
            except OSError as error:
                self._pass_over(here, error)
                continue
            new = []
            for name, path in sorted(folders):
                if (identity := _identity(os.stat(path))) not in entered:
                    entered.add(identity)
                    new.append((name, path))
            waiting += reversed(new)

    def _files_in(self, prefix: str, here: str) -> Generator[tuple[str, str, os.stat_result], None, list[_Place]]:
        """The same of the files right in a folder; returns the folders in it."""
        folders: list[_Place] = []
        with os.scandir(here) as listed:
            for each in listed:
                if each.name.startswith("."):
                    continue
                try:
                    if each.is_dir():
                        folders.append((f"{prefix}{each.name}/", each.path))
                    else:
                        yield prefix + each.name, each.path, each.stat()
                except OSError as error:
                    if self._every_file or each.name.lower().endswith(PICTURE_SUFFIXES):
                        self._pass_over(each.path, "a link to nothing" if each.is_symlink() else error)
        return folders

    def _is_picture(self, name: str, file: str, status: os.stat_result) -> bool:
        lowered = name.lower()
        if lowered.endswith(LIST_SUFFIXES):
            return False
        called = lowered.endswith(PICTURE_SUFFIXES)
        try:
            if not stat.S_ISREG(status.st_mode):
                reason = "no file that could be read"
            elif not self._look_into_all and not _is_unicode(name):
                reason = "its name is no text in UTF-8; rename it"
            elif self._every_file or (called and not self._look_into_all):
                return True
            else:
                with open(file, "rb") as stream:
                    kind = identify(stream.read(HEAD))
                if kind in FORMATS:
                    return True
                reason = f"the file is {kind}; expected {READABLE}"
        except OSError as error:
            reason = error.strerror or str(error)
        if self._every_file or called:
            self._pass_over(file, reason)
        return False

    def _pass_over(self, path: str, reason: str | OSError) -> None:
        words = reason if isinstance(reason, str) else reason.strerror or str(reason)
        shown = path if _is_unicode(path) else os.fsencode(path).decode("utf-8", errors="replace")
        self.unreadable.append(Unreadable(Path(shown), words))


def check_folder(folder: Path) -> None:
    """Raise ImageError unless there is such a folder."""
    if folder.is_dir():
        return
    if folder.exists():
        raise ImageError(f"{str(folder)!r} is a file; expected the folder of photographs that it is in")
    try:
        beside = sorted(each.name for each in folder.parent.iterdir() if each.is_dir())
    except OSError:
        beside = []
    hint = f"; folders there, {nearest(folder.name, beside)}" if beside else ""
    raise ImageError(f"there is no folder {str(folder)!r}{hint}")


def lists_of(folder: Path) -> Iterator[Table]:
    """The lists of classes in a folder and beside it."""
    for place in (folder, tidy(folder).parent):
        try:
            files = sorted(each for each in place.iterdir() if each.suffix.lower() in LIST_SUFFIXES and each.is_file())
        except OSError:
            continue
        yield from (Table(file.name, table.rows) for file in files if (table := read_list(file)) is not None)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
