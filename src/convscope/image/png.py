"""The chunks of a PNG: whole or not, and what they hold."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

SIGNATURE = b"\x89PNG\r\n\x1a\n"

# All that takes part in the colours. Text, animation and the rest stay behind, and their faults with them.
_NEEDED_TO_DECODE = (b"IHDR", b"PLTE", b"tRNS", b"iCCP", b"IDAT", b"IEND")
_SAMPLES_OF_COLOUR_TYPE = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# First column, first row, and the steps between columns and rows, of the seven passes of an interlaced picture.
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


@dataclass(frozen=True)
class PNG:
    """A PNG taken apart: a smaller file with the same pixels, its EXIF block, and its header."""

    decodable: bytes
    exif: bytes
    width: int
    height: int
    bits: int
    colour_type: int
    interlaced: bool
    pixels: bytes
    """The compressed pixels."""


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes, int, int]]:
    """Kind, content, begin and end in the file of each chunk, to IEND. Raises ValueError if the file is damaged."""
    if not data.startswith(SIGNATURE):
        raise ValueError("it is not a PNG")
    begin = len(SIGNATURE)
    while True:
        if len(data) < begin + 12:
            raise ValueError("the file ends too early")
        length, kind = struct.unpack_from(">I4s", data, begin)
        end = begin + 12 + length
        if len(data) < end:
            raise ValueError("the file ends too early")
        content = data[begin + 8 : end - 4]
        if zlib.crc32(content, zlib.crc32(kind)) != int.from_bytes(data[end - 4 : end], "big"):
            raise ValueError(f"the checksum of its {kind.decode('ascii', 'replace')} chunk is wrong")
        yield kind, content, begin, end
        if kind == b"IEND":
            return
        begin = end


def take_apart(data: bytes) -> PNG:
    """Check the chunks of a PNG and sort them. Raises ValueError if it is damaged; the pixels are not looked at."""
    decodable, pixels, exif, header = [SIGNATURE], [], b"", b""
    for kind, content, begin, end in chunks(data):
        if kind == b"IHDR":
            header = content
        elif kind == b"IDAT":
            pixels.append(content)
        elif kind == b"eXIf":
            exif = content
        if kind in _NEEDED_TO_DECODE:
            decodable.append(data[begin:end])
    if len(header) != 13 or header[9] not in _SAMPLES_OF_COLOUR_TYPE:
        raise ValueError("it has no header that makes sense")
    width, height, bits, colour_type, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    return PNG(
        b"".join(decodable), exif, width, height, bits, colour_type, interlaced=interlaced == 1, pixels=b"".join(pixels)
    )


def check_pixels(png: PNG) -> None:
    """Raise ValueError unless the compressed pixels are whole and as many as the header says.

    Pillow alone won't do: it reads a picture whose header says too little, and with `ImageFile.LOAD_TRUNCATED_IMAGES`,
    which any library may set, also one that is cut off.
    """
    expected = _decompressed_size(png)
    inflater = zlib.decompressobj()
    size = 0
    for begin in range(0, len(png.pixels), 1 << 16):
        size += len(inflater.decompress(png.pixels[begin : begin + (1 << 16)]))
        if size > expected:
            break
    if size != expected or not inflater.eof:
        raise ValueError(f"its header says {png.width} × {png.height}, and its pixels are not as many")


def _decompressed_size(png: PNG) -> int:
    """Bytes of all rows; each begins with one byte that names its filter."""
    bits = png.bits * _SAMPLES_OF_COLOUR_TYPE[png.colour_type]
    passes = _ADAM7 if png.interlaced else ((0, 0, 1, 1),)
    size = 0
    for left, top, across, down in passes:
        columns, rows = -((left - png.width) // across), -((top - png.height) // down)
        if columns > 0:
            size += max(rows, 0) * (1 + (columns * bits + 7) // 8)
    return size
