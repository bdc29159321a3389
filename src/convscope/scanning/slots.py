"""Memory in which a reader process leaves pictures for its parent."""

import mmap
import os
import tempfile
from typing import IO

import numpy as np
from numpy.typing import NDArray

_SHARED_MEMORY = "/dev/shm"


class Slots:
    """So many places in a file, each for an image, float32 (C, H, W), and a thumbnail, uint8 (3, side, side)."""

    def __init__(self, file: int, shape: tuple[int, int, int], thumbnail: int, count: int) -> None:
        self._shape, self._small = shape, (3, thumbnail, thumbnail)
        self._begins = [slot * slot_bytes(shape, thumbnail) for slot in range(count)]
        self._map = mmap.mmap(file, count * slot_bytes(shape, thumbnail))

    def close(self) -> None:
        """Give the memory back."""
        self._map.close()

    def image(self, slot: int) -> NDArray[np.float32]:
        """The image in a slot; a view."""
        count = int(np.prod(self._shape))
        return np.frombuffer(self._map, np.float32, count, self._begins[slot]).reshape(self._shape)

    def thumbnail(self, slot: int) -> NDArray[np.uint8]:
        """The thumbnail in a slot; a view."""
        begin = self._begins[slot] + 4 * int(np.prod(self._shape))
        return np.frombuffer(self._map, np.uint8, int(np.prod(self._small)), begin).reshape(self._small)


def slot_bytes(shape: tuple[int, int, int], thumbnail: int) -> int:
    """How large a slot is, in whole floats."""
    return 4 * int(np.prod(shape)) + -(-3 * thumbnail * thumbnail // 4) * 4


def slots_file(size: int) -> IO[bytes]:
    """A file of so many bytes, in shared memory if it has room; nothing of it is left once it is closed."""
    if os.path.isdir(_SHARED_MEMORY):
        try:
            return _reserved(_SHARED_MEMORY, size)
        except OSError:  # it is full, or not ours to write to
            pass
    return _reserved(None, size)


def _reserved(folder: str | None, size: int) -> IO[bytes]:
    file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - the caller closes it
    try:
        # What is not reserved now ends the process when it is written to and there is no room.
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)
    except OSError:
        file.close()
        raise
    return file
