import io
import zlib

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from convscope.image.png import SIGNATURE, check_pixels, chunks, take_apart


def example(**options: object) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (5, 3)).save(stream, "PNG", **options)
    return stream.getvalue()


def test_chunks_follow_each_other_to_the_end() -> None:
    data = example()
    kinds, contents, begins, ends = zip(*chunks(data), strict=True)
    assert kinds == (b"IHDR", b"IDAT", b"IEND")
    assert begins == (len(SIGNATURE), *ends[:-1])
    assert ends[-1] == len(data)
    assert len(zlib.decompress(contents[1])) == 3 * (1 + 5 * 3)


def test_what_is_taken_apart_holds_no_text() -> None:
    text = PngInfo()
    text.add_text("Comment", "hello")
    parts = take_apart(example(pnginfo=text, dpi=(72, 72)))
    assert parts.decodable == example()
    assert (parts.width, parts.height, parts.bits, parts.colour_type, parts.interlaced) == (5, 3, 8, 2, False)
    check_pixels(parts)


def test_exif_is_found() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert take_apart(example(exif=exif)).exif[:2] in (b"II", b"MM")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"GIF89a", "not a PNG"),
        (SIGNATURE, "ends too early"),
        (example()[:-1], "ends too early"),
        (example().replace(b"IHDR", b"IHDS"), "checksum of its IHDS chunk"),
        (SIGNATURE + example()[-12:], "no header"),
        (SIGNATURE + example()[8:].replace(b"\x08\x02\0\0\0" + example()[29:33], b""), "too early|checksum"),
    ],
)
def test_damage_is_told(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        take_apart(data)
