"""Animated GIF: written frame by frame, since Pillow alone would hold them all; and how long each frame is shown.

The format: GRAPHICS INTERCHANGE FORMAT, Version 89a, CompuServe 1990.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from PIL.GifImagePlugin import getdata

from convscope.image.film.comment import as_comment
from convscope.image.film.sink import Add, Encoding, Size, check_sides
from convscope.image.film.timing import Timing, as_browsers_show, delays

_EXTENSION, _PICTURE, _END = 0x21, 0x2C, 0x3B
_GRAPHIC_CONTROL = 0xF9
_FOR_EVER = b"!\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"
_UNITS_PER_SECOND = 100
_COLOURS = 256


@contextmanager
def gif_sink(path: Path, size: Size, encoding: Encoding) -> Iterator[Add]:
    """A GIF, every frame with up to 256 colours of its own; see `Sink`."""
    check_sides(size, 65535, "a GIF")
    durations = delays(encoding.frames_per_second, _UNITS_PER_SECOND)
    with path.open("wb") as file:
        rows, columns = size
        file.write(b"GIF89a" + struct.pack("<HHBBB", columns, rows, 0, 0, 0))
        file.write(_FOR_EVER if encoding.loop else b"")
        if encoding.recipe is not None:
            file.write(b"!\xfe" + _blocks(as_comment(encoding.recipe).encode()))

        def add(picture: Image.Image) -> None:
            milliseconds = next(durations) * 1000 // _UNITS_PER_SECOND
            parts = getdata(_in_few_colours(picture), duration=milliseconds, include_color_table=True)
            file.write(b"".join(parts))

        yield add
        file.write(bytes([_END]))


def _in_few_colours(picture: Image.Image) -> Image.Image:
    """`picture` with a palette: the same if it is grey or has few colours, else the nearest, with errors spread."""
    if picture.mode == "L":
        return picture.convert("P")
    palette = picture.quantize(_COLOURS, method=Image.Quantize.MEDIANCUT)
    if picture.getcolors(_COLOURS) is not None:
        return palette
    return picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)


def _blocks(content: bytes) -> bytes:
    """`content` in blocks of at most 255 bytes, each with its length before it, and an empty one at the end."""
    pieces = [content[start : start + 255] for start in range(0, len(content), 255)]
    return b"".join(bytes([len(each)]) + each for each in [*pieces, b""])


def gif_timing(data: bytes) -> Timing:
    """See `Timing`."""
    seconds: list[float] = []
    delay = 0
    try:
        position = 13 + _palette_size(data[10])
        while data[position] != _END:
            if data[position] == _EXTENSION:
                if data[position + 1] == _GRAPHIC_CONTROL:
                    (delay,) = struct.unpack_from("<H", data, position + 4)
                position = _after_blocks(data, position + 2)
            elif data[position] == _PICTURE:
                seconds.append(as_browsers_show(delay / _UNITS_PER_SECOND))
                delay = 0
                position = _after_blocks(data, position + 11 + _palette_size(data[position + 9]))
            else:
                return Timing(seconds, whole=False)
    except (IndexError, struct.error):
        return Timing(seconds, whole=False)
    return Timing(seconds, whole=True)


def _palette_size(flags: int) -> int:
    """Bytes of the palette that follows a header with these flags."""
    return 3 * 2 ** (flags % 8 + 1) if flags & 0x80 else 0


def _after_blocks(data: bytes, position: int) -> int:
    while data[position]:
        position += data[position] + 1
    return position + 1
