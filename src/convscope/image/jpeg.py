"""The segments of a JPEG: whole or not, and what they hold."""

import re
from dataclasses import dataclass

# Within the coded pixels FF 00 stands for FF, and FF D0 … FF D7 only mark places to restart at. A marker may be padded
# with more FF; a pattern that begins with a repeat would take 20 times as long to search for.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_EXIF, _START_OF_SCAN, _END = b"\xe1", b"\xda", b"\xd9"
# Comments and the applications' own segments, but for those that bear on colour: JFIF, ICC profile and Adobe.
_NOT_NEEDED_TO_DECODE = tuple(bytes([code]) for code in (*range(0xE0, 0xF0), 0xFE) if code not in (0xE0, 0xE2, 0xEE))

_FILLER = bytes(range(0x10, 0xF0)) * 16


@dataclass(frozen=True)
class JPEG:
    """A JPEG taken apart: a smaller file with the same pixels, and its EXIF block."""

    decodable: bytes
    exif: bytes
    filled: bytes
    """As `decodable`, with filler after each scan.

    Decoders skip what follows a scan that is complete, and paint grey where the coded pixels run out. So the two
    files show the same picture, unless pixels are missing: then the filler is taken for them.
    """


def take_apart(data: bytes) -> JPEG:
    """Follow the segments of a JPEG up to its end marker. Raises ValueError if it isn't there."""
    decodable, filled, exif = [data[:2]], [data[:2]], b""
    begin, end, kind = _find_marker(data, 2)
    while kind != _END:
        after = end + int.from_bytes(data[end : end + 2], "big")
        if kind == _EXIF and data[begin:after].find(b"Exif\0\0") == end + 2 - begin:
            exif = exif or data[end + 2 : after]
        following = _find_marker(data, after)
        if kind not in _NOT_NEEDED_TO_DECODE:
            segment = data[begin : following[0]]
            decodable.append(segment)
            filled.append(segment + _FILLER if kind == _START_OF_SCAN else segment)
        begin, end, kind = following
    return JPEG(b"".join([*decodable, b"\xff\xd9"]), exif, b"".join([*filled, b"\xff\xd9"]))


def _find_marker(data: bytes, after: int) -> tuple[int, int, bytes]:
    """Where the first marker from `after` on begins, with its padding, where it ends, and what it marks."""
    marker = _MARKER.search(data, after)
    if marker is None:
        raise ValueError("the file ends too early")
    begin = marker.start()
    while begin > after and data[begin - 1] == 0xFF:
        begin -= 1
    return begin, marker.end(), marker.group()[1:]
