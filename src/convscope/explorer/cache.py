"""Results kept on disk by what they were made with; of too many, those that were not asked for longest go."""

import hashlib
import json
import os
import zipfile
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Any

from convscope import __version__
from convscope.image.write import atomic_path

LIMIT = 1 << 30
"""Bytes that are kept, unless another number is given."""

_TOLD = "result.json"
# Of what results tell.
_FORMAT = 2


@dataclass(frozen=True)
class Outcome:
    """What a job made: `told` as JSON, and `pictures`, each a PNG or WebP by its name."""

    told: Mapping[str, Any]
    pictures: Mapping[str, bytes] = field(default_factory=dict, repr=False)


def key_of(kind: str, fields: Mapping[str, Any]) -> str:
    """By what a result is found again: SHA-256 over all that it is made with, and the version.

    >>> key_of("explain", {"a": 1, "b": 2}) == key_of("explain", {"b": 2, "a": 1})
    True
    """
    text = json.dumps([__version__, _FORMAT, kind, fields], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


class Cache:
    """A folder of results, at most `limit` bytes of them; may be used from several threads at once."""

    def __init__(self, folder: Path, *, limit: int = LIMIT) -> None:
        self.folder, self._limit = folder, limit
        self._lock = Lock()

    def __contains__(self, key: str) -> bool:
        return self._path(key).is_file()

    def get(self, key: str) -> Outcome | None:
        """The result of that key; None where it isn't there, or is damaged."""
        path = self._path(key)
        try:
            with zipfile.ZipFile(BytesIO(path.read_bytes())) as parts:
                told = json.loads(parts.read(_TOLD))
                pictures = {name: parts.read(name) for name in parts.namelist() if name != _TOLD}
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            with suppress(OSError):
                path.unlink()
            return None
        with suppress(OSError):
            os.utime(path)
        return Outcome(told, pictures)

    def put(self, key: str, outcome: Outcome) -> None:
        """Keep a result; what is then too much goes, but never this one."""
        buffer = BytesIO()
        with zipfile.ZipFile(buffer, "w") as parts:
            parts.writestr(_TOLD, json.dumps(outcome.told))
            for name, picture in outcome.pictures.items():
                parts.writestr(name, picture)
        path = self._path(key)
        with self._lock:
            with atomic_path(path) as temporary:
                temporary.write_bytes(buffer.getvalue())
            self._shrink(path)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.zip"

    def _shrink(self, newest: Path) -> None:
        kept = []
        for path in self.folder.glob("*.zip"):
            # Another Explorer may have removed it meanwhile.
            with suppress(OSError):
                status = path.stat()
                kept.append((status.st_mtime_ns, status.st_size, path))
        for path in oldest(kept, self._limit, keep=[newest]):
            with suppress(OSError):
                path.unlink()


def oldest(found: Iterable[tuple[int, int, Path]], limit: int, *, keep: Collection[Path]) -> list[Path]:
    """Of `(when it was used last, bytes, where it is)` those to go, so that no more than `limit` bytes are left.

    >>> [path.name for path in oldest([(3, 9, Path("c")), (1, 9, Path("a")), (2, 9, Path("b"))], 9, keep=[Path("a")])]
    ['b', 'c']
    """
    found = sorted(found)
    total, gone = sum(size for _, size, _ in found), []
    for _, size, path in found:
        if total <= limit:
            break
        if path not in keep:
            gone.append(path)
            total -= size
    return gone
