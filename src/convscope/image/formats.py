"""What kind of file some bytes are, by their content."""

# Where a format's mark is, the mark, and what to call it. The first that fits counts.
_MARKS = (
    (128, b"DICM", "DICOM"),  # what goes before it may be anything, a TIFF's mark too
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"\xff\xd8\xff", "JPEG"),
    (8, b"WEBP", "WebP"),
    (0, b"GIF8", "a GIF picture"),
    (0, b"BM", "a BMP picture"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"II+\0\x08\0\0\0", "TIFF"),  # BigTIFF
    (0, b"MM\0+\0\x08\0\0", "TIFF"),
    (0, b"\x93NUMPY", "NPY"),
    (0, b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    (0, b"\xff\x0a", "a JPEG XL picture"),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (4, b"ftypavi", "an AVIF picture"),
    (4, b"ftyphei", "a HEIC picture"),
    (4, b"ftypmif1", "a HEIC picture"),
    (4, b"ftyp", "a video"),
    (0, b"8BPS", "a Photoshop picture"),
    (0, b"\0\0\x01\0", "an icon"),
    (0, b"%PDF", "a PDF"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x89HDF", "an HDF5 file"),
)
FORMATS = ("PNG", "JPEG", "WebP", "TIFF", "NPY", "DICOM")
"""What can be read."""
READABLE = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
"""The same in words, for messages."""
HEAD = 512
"""So many bytes from the start are enough to tell."""


def identify(data: bytes) -> str:
    """What a file that begins with `data` is: one of `FORMATS`, or words for what it seems to be instead.

    >>> identify(b"Dear Sir,")
    'text'
    """
    for offset, mark, kind in _MARKS:
        if data.startswith(mark, offset) and (kind != "WebP" or data.startswith(b"RIFF")):
            return kind
    if not data:
        return "empty"
    start = data[:HEAD].lstrip().lower()
    if start.startswith((b"<svg", b"<?xml")):
        return "an SVG or XML document"
    if start.startswith((b"<!doctype html", b"<html")):
        return "a web page"
    return "text" if _is_text(data[:HEAD]) else "of a kind unknown here"


def _is_text(data: bytes) -> bool:
    try:
        # The cut may go through a character.
        text = data[:-3].decode() if len(data) == HEAD else data.decode()
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() or character.isspace() for character in text)
