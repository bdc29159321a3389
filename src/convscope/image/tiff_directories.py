"""The directories of a TIFF, one a page: whole or not, and which of them are pages."""

import struct
from collections.abc import Iterator

_BIG = 43
_SUBFILE_TYPE, _REDUCED = 254, 1
# Where the strips or tiles lie, and how long they are.
_SEGMENTS = ((273, 279), (324, 325))
_FORMATS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}

Values = dict[int, tuple[int, ...]]


def pages(data: bytes) -> list[int]:
    """The places, in the chain of directories of a TIFF or BigTIFF, of its pages: all but the thumbnails.

    Raises ValueError if a directory, or the pixels that any of them point to, are beyond the end of the file.
    """
    found = []
    for place, values in enumerate(_directories(data)):
        for offsets, lengths in _SEGMENTS:
            for begin, length in zip(values.get(offsets, ()), values.get(lengths, ()), strict=False):
                if begin + length > len(data):
                    raise ValueError("the file ends too early")
        if not values.get(_SUBFILE_TYPE, (0,))[0] & _REDUCED:
            found.append(place)
    return found or [0]


def _directories(data: bytes) -> Iterator[Values]:
    """The values, by tag, of each directory; of the tags that matter here."""
    order = "<" if data.startswith(b"II") else ">"
    big = struct.unpack_from(order + "H", data, 2) == (_BIG,)
    pointer, number, entry_size = (order + "Q", order + "Q", 20) if big else (order + "I", order + "H", 12)
    (begin,) = _unpack(pointer, data, 8 if big else 4)
    seen = set()
    while begin:
        if begin in seen:
            raise ValueError("its pages go round in a circle")
        seen.add(begin)
        (count,) = _unpack(number, data, begin)
        first = begin + struct.calcsize(number)
        (begin,) = _unpack(pointer, data, first + count * entry_size)
        entries = range(first, first + count * entry_size, entry_size)
        yield dict(each for entry in entries if (each := _entry(data, entry, order, pointer)))


def _entry(data: bytes, begin: int, order: str, pointer: str) -> tuple[int, tuple[int, ...]] | None:
    """Tag and values of one entry of a directory, if it matters here."""
    tag, kind = _unpack(order + "HH", data, begin)
    if kind not in _FORMATS or tag not in (_SUBFILE_TYPE, *(each for pair in _SEGMENTS for each in pair)):
        return None
    (count,) = _unpack(pointer, data, begin + 4)
    place = begin + 4 + struct.calcsize(pointer)
    if count * struct.calcsize(_FORMATS[kind]) > struct.calcsize(pointer):
        (place,) = _unpack(pointer, data, place)
    return (tag, _unpack(f"{order}{count}{_FORMATS[kind]}", data, place)) if count else None


def _unpack(form: str, data: bytes, begin: int) -> tuple[int, ...]:
    # Compared beforehand, since a damaged count may ask for more than memory holds.
    if begin + struct.calcsize(form) > len(data):
        raise ValueError("the file ends too early")
    return struct.unpack_from(form, data, begin)
