"""The folder of the Explorer's own scans: what goes from it, since all of it can be made again."""

import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from convscope.explorer.cache import oldest
from convscope.scanning.header import FILE

SCANS_LIMIT = 4 << 30
"""Bytes of scans that are kept, unless another number is given."""

_LOCK = "lock"  # as a scan calls it


def used(path: Path) -> None:
    """Note that a scan is used now."""
    with suppress(OSError):
        os.utime(path / FILE)


def remove(path: Path) -> bool:
    """Remove a scan, whatever is there in its place; whether it is gone. One that is being made by anyone stays."""
    with _unless_locked(path) as free:
        if not free:
            return False
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()
    return not os.path.lexists(path)


def shrink(folder: Path, limit: int, *, keep: Collection[Path]) -> None:
    """Remove the scans that were not used longest, until at most so many bytes are left; never those to `keep`."""
    found = []
    with suppress(OSError):
        for path in folder.iterdir():
            last = (path / FILE).stat().st_mtime_ns if (path / FILE).is_file() else 0
            found.append((last, sum(_sizes(path)), path))
    for path in oldest(found, limit, keep=keep):
        remove(path)


def _sizes(folder: Path) -> Iterator[int]:
    for path in folder.rglob("*"):
        # It may be tidied up meanwhile.
        with suppress(OSError):
            yield path.lstat().st_size


@contextmanager
def _unless_locked(path: Path) -> Iterator[bool]:
    """Whether nobody else scans into it, nor can as long as this lasts."""
    if not path.is_dir():
        yield True
        return
    try:
        with FileLock(path / _LOCK, timeout=0):
            yield True
    except Timeout:
        yield False
