import pytest

from convscope.image.formats import HEAD, identify


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"\xff\xd8\xff\xe1", "JPEG"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "WebP"),
        (b"RIFF\x10\0\0\0WAVEfmt ", "of a kind unknown here"),
        (b"....\x10\0\0\0WEBP", "of a kind unknown here"),
        (b"", "empty"),
        (b"II*\0\x08\0\0\0", "TIFF"),
        (b"MM\0*\0\0\0\x08", "TIFF"),
        (b"II+\0\x08\0\0\0", "TIFF"),
        (b"MM\0+\0\x08\0\0", "TIFF"),
        (b"\x93NUMPY\x01\0", "NPY"),
        (bytes(128) + b"DICM\x02\0", "DICOM"),
        (b"II*\0".ljust(128, b"\0") + b"DICM\x02\0", "DICOM"),
        (b"GIF89a", "a GIF picture"),
        (b"\0\0\0\x20ftypheic", "a HEIC picture"),
        (b"\0\0\0\x20ftypisom", "a video"),
        (b"  <svg xmlns=''>", "an SVG or XML document"),
        (b"<!DOCTYPE html><p>404", "a web page"),
        ("Grüße,\nein Text".encode(), "text"),
        (("x" + "ü" * HEAD).encode(), "text"),
        (b"\x80\x81\x82", "of a kind unknown here"),
        (bytes(40), "of a kind unknown here"),
    ],
)
def test_identify(data: bytes, kind: str) -> None:
    assert identify(data) == kind
