"""Animated WebP: written frame by frame, since Pillow alone would hold them all; and how long each frame is shown.

The format: "WebP Container Specification", developers.google.com/speed/webp/docs/riff_container.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image

from convscope.errors import ImageError
from convscope.image.film.comment import as_comment
from convscope.image.film.sink import Add, Encoding, Size, check_sides
from convscope.image.film.timing import Timing, as_browsers_show, delays

EXIF_DESCRIPTION = 0x010E
"""The tag that holds the recipe."""
_HAS_EXIF, _IS_ANIMATED = 0x08, 0x02
_NOT_BLENDED = 0x02
_HEADER = 12
_MOST_BYTES = 2**32 - 2
_UNITS_PER_SECOND = 1000


@contextmanager
def webp_sink(path: Path, size: Size, encoding: Encoding) -> Iterator[Add]:
    """An animated WebP, every frame a still WebP of its own; see `Sink`."""
    check_sides(size, 16383, "a WebP")
    durations = delays(encoding.frames_per_second, _UNITS_PER_SECOND)
    area = _24_bits(size[1] - 1) + _24_bits(size[0] - 1)
    exif = b"" if encoding.recipe is None else _exif(as_comment(encoding.recipe))
    with path.open("wb") as file:
        flags = _IS_ANIMATED | (_HAS_EXIF if exif else 0)
        file.write(b"RIFF\0\0\0\0WEBP" + _chunk(b"VP8X", struct.pack("<I", flags) + area))
        file.write(_chunk(b"ANIM", struct.pack("<IH", 0, 0 if encoding.loop else 1)))

        def add(picture: Image.Image) -> None:
            still = BytesIO()
            picture.convert("RGB").save(still, format="WEBP", quality=encoding.quality)
            place = _24_bits(0) * 2 + area + _24_bits(next(durations)) + bytes([_NOT_BLENDED])
            frame = _chunk(b"ANMF", place + still.getvalue()[_HEADER:])
            if file.tell() + len(frame) + len(exif) > _MOST_BYTES:
                raise ImageError("a WebP has at most 4 GiB, and this film is larger: write it as .mp4 or to a folder")
            file.write(frame)

        yield add
        file.write(exif)
        length = file.tell() - 8
        file.seek(4)
        file.write(struct.pack("<I", length))


def _chunk(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def _24_bits(number: int) -> bytes:
    return number.to_bytes(3, "little")


def _exif(comment: str) -> bytes:
    tags = Image.Exif()
    tags[EXIF_DESCRIPTION] = comment
    return _chunk(b"EXIF", tags.tobytes().removeprefix(b"Exif\0\0"))


def webp_timing(data: bytes) -> Timing:
    """See `Timing`. A still picture has no frames."""
    seconds: list[float] = []
    position = _HEADER
    end = 8 + int.from_bytes(data[4:8], "little")
    while position + 8 <= min(end, len(data)):
        if data[position : position + 4] == b"ANMF":
            milliseconds = int.from_bytes(data[position + 20 : position + 23], "little")
            seconds.append(as_browsers_show(milliseconds / _UNITS_PER_SECOND))
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        position += 8 + length + length % 2
    return Timing(seconds, whole=len(data) >= end)
