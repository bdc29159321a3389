"""Folders of photographs, and what is known of each one's class."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from convscope.errors import ImageError, nearest
from convscope.image.formats import FORMATS, HEAD, READABLE, identify
from convscope.image.lists import LIST_SUFFIXES, ClassList, read_list

# What people call pictures; a file so called that is none is worth a word, any other is passed over.
_SUFFIXES = frozenset(".jpg .jpeg .jpe .jfif .png .webp .tif .tiff .npy .dcm .gif .bmp .heic .avif .jp2".split())
_WORDNET_ID = re.compile(r"n\d{8}(?!\d)")


@dataclass(frozen=True)
class Photograph:
    """A picture file, with its class as the folder tells it: a name or WordNet id, a number, both or neither."""

    path: Path
    label: str | None = None
    index: int | None = None


@dataclass(frozen=True)
class Unreadable:
    """A file or folder that was passed over, and why."""

    path: Path
    reason: str


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
    _check_folder(folder)
    unreadable: list[Unreadable] = []
    found = [file for file in sorted(_files(folder, unreadable)) if _is_picture(file, unreadable, every_file)]
    if not found:
        seen = f"; {unreadable[0].path.name}: {unreadable[0].reason}" if unreadable else ""
        raise ImageError(f"there is no picture in {str(folder)!r}{seen}; expected {READABLE} files in it or below it")
    photographs, labels_from = _labelled(folder, found)
    return Folder(folder, photographs, tuple(unreadable), labels_from)


def _check_folder(folder: Path) -> None:
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


def _files(folder: Path, unreadable: list[Unreadable]) -> Iterator[Path]:
    """The files below a folder; a folder that is reached again, through a link, is not entered again."""

    def unreadable_folder(error: OSError) -> None:
        unreadable.append(Unreadable(Path(error.filename), error.strerror or str(error)))

    entered = {_identity(folder)}
    for here, folders, names in os.walk(folder, followlinks=True, onerror=unreadable_folder):
        folders.sort()
        folders[:] = [name for name in folders if not name.startswith(".") and _is_new(Path(here, name), entered)]
        yield from (Path(here, name) for name in names if not name.startswith("."))


def _is_new(folder: Path, entered: set[tuple[int, int]]) -> bool:
    identity = _identity(folder)
    new = identity not in entered
    entered.add(identity)
    return new


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _is_picture(file: Path, unreadable: list[Unreadable], every_file: bool) -> bool:
    suffix = file.suffix.lower()
    if suffix in LIST_SUFFIXES:
        return False
    try:
        if not file.is_file():
            reason = "a link to nothing" if file.is_symlink() else "no file that could be read"
        elif every_file:
            return True
        else:
            with file.open("rb") as stream:
                kind = identify(stream.read(HEAD))
            if kind in FORMATS:
                return True
            reason = f"the file is {kind}; expected {READABLE}"
    except OSError as error:
        reason = error.strerror or str(error)
    if every_file or suffix in _SUFFIXES:
        unreadable.append(Unreadable(file, reason))
    return False


def _labelled(folder: Path, files: list[Path]) -> tuple[tuple[Photograph, ...], str | None]:
    """The files with the classes that the first source to know any tells, and what that was."""
    for table in _lists(folder):
        rows = _rows_of_files(table, folder, files)
        if rows:
            return tuple(Photograph(file, *rows.get(file, (None, None))) for file in files), table.path.name
    if any(ids := [_wordnet_id(file, folder) for file in files]):
        return tuple(map(Photograph, files, ids)), "WordNet ids in the names"
    if any(file.parent != folder for file in files):
        return tuple(_of_folder(file, folder) for file in files), "the folders' names"
    return tuple(map(Photograph, files)), None


def _lists(folder: Path) -> Iterator[ClassList]:
    for place in (folder, folder.absolute().parent):
        try:
            files = sorted(each for each in place.iterdir() if each.suffix.lower() in LIST_SUFFIXES and each.is_file())
        except OSError:
            continue
        yield from (table for file in files if (table := read_list(file)) is not None)


def _rows_of_files(
    table: ClassList, folder: Path, files: Iterable[Path]
) -> Mapping[Path, tuple[str | None, int | None]]:
    """The label and index of each file that the list names: by its path, or by a name that no other has."""
    known: dict[str, Path | None] = {}
    for file in files:
        inside = file.relative_to(folder)
        known[file.name] = None if file.name in known else file
        known[(folder.absolute().name / inside).as_posix()] = file
    known |= {file.relative_to(folder).as_posix(): file for file in files}
    rows = {}
    for name, label, index in table.rows:
        named = known.get(name) or known.get(name.rsplit("/", 1)[-1])
        if named is not None and (label, index) != (None, None):
            rows[named] = (label, index)
    return rows


def _wordnet_id(file: Path, folder: Path) -> str | None:
    names = [file.name, file.parent.name] if file.parent != folder else [file.name]
    matches = filter(None, map(_WORDNET_ID.match, names))
    return next((match.group() for match in matches), None)


def _of_folder(file: Path, folder: Path) -> Photograph:
    photograph = Photograph(file)
    if file.parent == folder:
        return photograph
    name = file.parent.name
    return replace(photograph, index=int(name)) if name.isdecimal() else replace(photograph, label=name)
