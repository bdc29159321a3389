"""Matroska and WebM files that end too early: FFmpeg reads them without a word, as if they were shorter.

The format: RFC 8794 (EBML) and RFC 9559 (Matroska).
"""

from pathlib import Path

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_HEAD = 4096


def is_cut(file: Path) -> bool:
    """Whether a file is Matroska and shorter than it says; one that was streamed says nothing. Raises OSError."""
    with file.open("rb") as stream:
        head = stream.read(_HEAD)
    if not head.startswith(_EBML):
        return False
    start, size = _element(head, 4)
    segment = start + (size or 0)
    if not head.startswith(_SEGMENT, segment):
        return False
    start, size = _element(head, segment + 4)
    return size is not None and file.stat().st_size < start + size


def _element(data: bytes, position: int) -> tuple[int, int | None]:
    """Where the content of an element starts whose size is told at `position`, and that size; None for unknown.

    The zeros before the first one tell how many bytes the number has; all ones mean unknown (RFC 8794, 4 and 6.2).

    >>> _element(bytes([0x81]), 0), _element(bytes([0x40, 200]), 0), _element(bytes([0xff]), 0)
    ((1, 1), (2, 200), (1, None))
    """
    length = 9 - data[position].bit_length()
    ones = 2 ** (7 * length) - 1
    size = int.from_bytes(data[position : position + length]) & ones
    return position + length, None if size == ones else size
