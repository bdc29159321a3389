"""The one thing EXIF is read for: which way up the picture is."""

import struct
from typing import Any

from numpy.typing import NDArray

_ORIENTATION_TAG = 0x0112
_SHORT = 3


def orientation(exif: bytes) -> int:
    """The orientation, 1 … 8, in an EXIF block; 1, which is upright, if it isn't there or makes no sense."""
    block = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None:
        return 1
    try:
        (directory,) = struct.unpack_from(order + "I", block, 4)
        (count,) = struct.unpack_from(order + "H", block, directory)
        for entry in range(directory + 2, directory + 2 + 12 * count, 12):
            tag, kind, _, value = struct.unpack_from(order + "HHIH", block, entry)
            if tag == _ORIENTATION_TAG:
                return int(value) if kind == _SHORT and 1 <= value <= 8 else 1
    except struct.error:
        return 1
    return 1


def lies(orientation: int) -> bool:
    """Whether a picture of this orientation is stored on its side, so that its rows are columns."""
    return orientation >= 5


def upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """`pixels` (H, W, …) as stored, turned and mirrored as its orientation says. A view.

    >>> import numpy as np
    >>> upright(np.array([[1, 2, 3]]), 6).tolist()
    [[1], [2], [3]]
    """
    if lies(orientation):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels
