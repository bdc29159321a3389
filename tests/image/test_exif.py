import struct

import numpy as np
import pytest
from PIL import Image

from convscope.image.exif import orientation, upright


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize("prefix", [b"", b"Exif\0\0"])
def test_what_pillow_writes_is_read(value: int, prefix: bytes) -> None:
    exif = Image.Exif()
    exif[0x010F] = "a maker"
    exif[0x0112] = value
    exif[0x0131] = "a program"
    assert orientation(prefix + exif.tobytes().removeprefix(b"Exif\0\0")) == value


@pytest.mark.parametrize("order", ["<", ">"])
def test_both_byte_orders(order: str) -> None:
    header = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    assert orientation(header + struct.pack(order + "HHHIHH", 1, 0x0112, 3, 1, 6, 0)) == 6


@pytest.mark.parametrize(
    "exif",
    [
        b"",
        b"Exif\0\0",
        b"nonsense",
        b"II*\0",
        b"II*\0" + struct.pack("<I", 2**32 - 1),
        b"II*\0" + struct.pack("<IH", 8, 9),
        b"II*\0" + struct.pack("<IHHHIHH", 8, 1, 0x0112, 3, 1, 9, 0),
        b"II*\0" + struct.pack("<IHHHIHH", 8, 1, 0x0112, 3, 1, 0, 0),
        b"II*\0" + struct.pack("<IHHHIHH", 8, 1, 0x0112, 2, 1, 6, 0),
        b"II*\0" + struct.pack("<IHHHIHH", 8, 1, 0x0110, 3, 1, 6, 0),
    ],
)
def test_nonsense_is_upright(exif: bytes) -> None:
    assert orientation(exif) == 1


def test_turning_keeps_channels() -> None:
    pixels = np.arange(24).reshape(2, 3, 4)
    assert upright(pixels, 1) is pixels
    assert upright(pixels, 8).shape == (3, 2, 4)
    assert (upright(upright(pixels, 6), 8) == pixels).all()
