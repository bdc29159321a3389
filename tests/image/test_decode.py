"""Every variant a PNG, JPEG or WebP may come in, against pixels known beforehand."""

import io
import struct
import warnings
import zlib
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageFile

from convscope.errors import ImageError
from convscope.image.decode import decode

Levels = NDArray[np.integer[Any]]
LIMIT = 1_000_000


def encode(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def raw_png(levels: Levels, bits: int, colour_type: int, *, extra: bytes = b"", adam7: bool = False) -> bytes:
    """A PNG written by hand: Pillow writes neither 16-bit colours nor interlaced pictures nor few grey levels."""
    height, width = levels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, adam7)
    starts = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    pixels = b""
    for top, left, down, across in starts if adam7 else [(0, 0, 1, 1)]:
        for row in levels[top::down, left::across]:
            if row.size:
                samples = "".join(f"{sample:0{bits}b}" for sample in row.ravel())
                samples += "0" * (-len(samples) % 8)
                pixels += b"\0" + int(samples, 2).to_bytes(len(samples) // 8, "big")
    parts = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def photo(height: int = 37, width: int = 53) -> NDArray[np.uint8]:
    """A smooth colour picture, which JPEG keeps well, with no symmetry."""
    rows, columns = np.mgrid[0:height, 0:width]
    channels = [rows * 200 // height + 20, columns * 200 // width + 30, (rows + columns) * 120 // (height + width)]
    return np.stack(channels, axis=2).astype(np.uint8)


def to_levels(pixels: NDArray[np.float32]) -> Levels:
    return np.asarray(np.round(pixels.transpose(1, 2, 0) * 255).astype(int))


# Colours


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_rgb_is_exact(kind: str) -> None:
    pixels = decode(encode(Image.fromarray(photo()), kind, lossless=True), pixel_limit=LIMIT)
    assert pixels.dtype == np.float32
    assert pixels.flags.c_contiguous
    assert (pixels == photo().transpose(2, 0, 1) / np.float32(255)).all()


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_jpeg_is_close(progressive: bool, subsampling: int) -> None:
    data = encode(Image.fromarray(photo()), "JPEG", quality=95, progressive=progressive, subsampling=subsampling)
    assert np.abs(to_levels(decode(data, pixel_limit=LIMIT)) - photo()).max() <= 8


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_grey_becomes_three_equal_channels(kind: str) -> None:
    grey = Image.fromarray(photo()).convert("L")
    pixels = decode(encode(grey, kind, quality=100, lossless=True), pixel_limit=LIMIT)
    assert pixels.shape == (3, 37, 53)
    assert (pixels[0] == pixels[1]).all()
    assert (pixels[0] == pixels[2]).all()
    assert np.abs(to_levels(pixels)[..., 0] - np.asarray(grey)).max() <= 2


def test_one_bit() -> None:
    black_and_white = Image.fromarray(photo()).convert("1")
    pixels = decode(encode(black_and_white), pixel_limit=LIMIT)
    assert set(np.unique(pixels)) == {0, 1}
    assert (pixels[0] == np.asarray(black_and_white)).all()


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("adam7", [False, True])
def test_grey_of_any_depth(bits: int, adam7: bool) -> None:
    levels = np.random.default_rng(bits).integers(0, 2**bits, (11, 13))
    pixels = decode(raw_png(levels, bits, 0, adam7=adam7), pixel_limit=LIMIT)
    np.testing.assert_allclose(pixels, np.stack([levels / (2**bits - 1)] * 3), rtol=1e-7)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 5), (5, 1), (2, 3), (8, 9)])
def test_small_interlaced_pictures_lack_some_passes(height: int, width: int) -> None:
    levels = np.random.default_rng(0).integers(0, 256, (height, width))
    pixels = decode(raw_png(levels, 8, 0, adam7=True), pixel_limit=LIMIT)
    np.testing.assert_allclose(pixels[0], levels / 255, rtol=1e-6)


@pytest.mark.parametrize("adam7", [False, True])
@pytest.mark.parametrize(("colour_type", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_sixteen_bits_are_kept(colour_type: int, channels: int, adam7: bool) -> None:
    levels = np.random.default_rng(channels).integers(0, 2**16, (11, 13, channels))
    pixels = decode(raw_png(levels, 16, colour_type, adam7=adam7), pixel_limit=LIMIT)
    colours, alpha = (levels, np.ones((11, 13, 1))) if channels == 3 else (levels[..., :-1], levels[..., -1:] / 65535)
    over_white = colours / 65535 * alpha + (1 - alpha)
    np.testing.assert_allclose(pixels, np.broadcast_to(over_white, (11, 13, 3)).transpose(2, 0, 1), atol=2e-7)


def test_sixteen_bit_grey_is_divided_by_65535() -> None:
    levels = np.array([[0, 1, 255, 256, 32768, 65534, 65535]], dtype=np.uint16)
    pixels = decode(encode(Image.fromarray(levels)), pixel_limit=LIMIT)
    assert (pixels[1] == levels.astype(np.float32) / np.float32(65535)).all()


def test_palette() -> None:
    picture = Image.fromarray(photo()).quantize(16)
    pixels = decode(encode(picture), pixel_limit=LIMIT)
    assert (to_levels(pixels) == np.asarray(picture.convert("RGB"))).all()


@pytest.mark.parametrize("transparency", [1, bytes([255, 0, 128])])
def test_palette_with_transparency(transparency: int | bytes) -> None:
    picture = Image.new("P", (3, 1))
    picture.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200])
    picture.putdata([0, 1, 2])
    [row] = to_levels(decode(encode(picture, transparency=transparency), pixel_limit=LIMIT)).tolist()
    half_blue = [127, 127, 227] if isinstance(transparency, bytes) else [0, 0, 200]
    assert row == [[200, 0, 0], [255, 255, 255], half_blue]


@pytest.mark.parametrize(("mode", "kind"), [("RGBA", "PNG"), ("RGBA", "WEBP"), ("LA", "PNG")])
def test_alpha_is_laid_over_white_in_floats(mode: str, kind: str) -> None:
    picture = Image.fromarray(photo()).convert(mode)
    picture.putalpha(Image.fromarray(photo()[..., 1]))
    pixels = decode(encode(picture, kind, lossless=True, exact=True), pixel_limit=LIMIT)
    rgba = np.asarray(picture.convert("RGBA")) / 255
    over_white = rgba[..., :3] * rgba[..., 3:] + 1 - rgba[..., 3:]
    np.testing.assert_allclose(pixels, over_white.transpose(2, 0, 1), atol=1e-6)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_one_grey_level_can_stand_for_transparency(bits: int) -> None:
    levels = np.array([[0, 1, 2**bits - 1]])
    data = raw_png(levels, bits, 0, extra=chunk(b"tRNS", struct.pack(">H", 1)))
    expected = np.where(levels == 1, 1, levels / (2**bits - 1))
    np.testing.assert_allclose(decode(data, pixel_limit=LIMIT)[0], expected, rtol=1e-6)


@pytest.mark.parametrize("bits", [8, 16])
def test_one_colour_can_stand_for_transparency(bits: int) -> None:
    levels = np.array([[[1, 2, 3], [1, 2, 4], [1, 2, 3]]])
    data = raw_png(levels, bits, 2, extra=chunk(b"tRNS", struct.pack(">3H", 1, 2, 3)))
    expected = np.array([[1, 1, 1], [1, 2, 4], [1, 1, 1]]) / np.array([1, 2**bits - 1, 1])[:, None]
    np.testing.assert_allclose(decode(data, pixel_limit=LIMIT)[:, 0].T, expected, rtol=1e-6)


def test_cmyk_as_adobe_writes_it() -> None:
    picture = Image.fromarray(photo()).convert("CMYK")
    data = encode(picture, "JPEG", quality=95)
    assert b"Adobe" in data
    assert np.abs(to_levels(decode(data, pixel_limit=LIMIT)) - photo()).max() <= 12


def test_cmyk_without_adobe_marker_holds_the_ink() -> None:
    # Pillow inverts what it writes, so what is inverted beforehand comes out straight.
    data = encode(ImageChops.invert(Image.fromarray(photo()).convert("CMYK")), "JPEG", quality=95)
    begin = data.index(b"\xff\xee")
    without = data[:begin] + data[begin + 16 :]
    assert np.abs(to_levels(decode(without, pixel_limit=LIMIT)) - photo()).max() <= 12


def test_only_the_first_frame_of_an_animation() -> None:
    first, second = Image.fromarray(photo()), Image.new("RGB", (53, 37), "red")
    for kind in ("PNG", "WEBP"):
        data = encode(first, kind, save_all=True, append_images=[second], lossless=True, duration=100)
        assert (to_levels(decode(data, pixel_limit=LIMIT)) == photo()).all()


# Orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_pictures_come_upright(kind: str, orientation: int) -> None:
    stored_from_upright = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    picture = Image.fromarray(photo())
    if orientation > 1:
        picture = picture.transpose(stored_from_upright[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(picture, kind, exif=exif, lossless=True, quality=95)
    levels = to_levels(decode(data, pixel_limit=LIMIT))
    assert levels.shape == photo().shape
    assert np.abs(levels - photo()).max() <= (8 if kind == "JPEG" else 0)


def test_damaged_exif_is_ignored_without_a_warning() -> None:
    exif = b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01\x03"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind in ("PNG", "JPEG", "WEBP"):
            decode(encode(Image.fromarray(photo()), kind, exif=exif), pixel_limit=LIMIT)


# Damage


@pytest.fixture(params=[False, True], ids=["", "truncated allowed elsewhere"])
def _truncated(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both settings of the switch that any library may have turned on for the whole process."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", request.param)


VARIANTS = {
    "png": encode(Image.fromarray(photo())),
    "png grey 16": encode(Image.fromarray(photo()[..., 0].astype(np.uint16) * 257)),
    "png rgb 16": raw_png(photo().astype(int) * 257, 16, 2),
    "png adam7": raw_png(photo(), 8, 2, adam7=True),
    "png palette": encode(Image.fromarray(photo()).quantize(16), transparency=1),
    "png 1 bit": encode(Image.fromarray(photo()).convert("1")),
    "jpeg": encode(Image.fromarray(photo()), "JPEG"),
    "jpeg progressive": encode(Image.fromarray(photo()), "JPEG", progressive=True),
    "jpeg cmyk": encode(Image.fromarray(photo()).convert("CMYK"), "JPEG"),
    "jpeg grey": encode(Image.fromarray(photo()).convert("L"), "JPEG"),
    "webp": encode(Image.fromarray(photo()), "WEBP"),
    "webp lossless": encode(Image.fromarray(photo()), "WEBP", lossless=True),
    "webp alpha": encode(Image.fromarray(photo()).convert("RGBA"), "WEBP", lossless=True),
}


@pytest.mark.usefixtures("_truncated")
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_file_cut_anywhere_is_an_error(variant: str) -> None:
    data = VARIANTS[variant]
    assert decode(data, pixel_limit=LIMIT).shape == (3, 37, 53)
    for length in {0, 1, 3, 8, 12, 20, 30, 60, len(data) // 4, len(data) // 2, len(data) - 20, len(data) - 1}:
        with pytest.raises(ImageError, match="expected") as caught:
            decode(data[:length], pixel_limit=LIMIT)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("variant", VARIANTS)
def test_bytes_after_the_end_do_no_harm(variant: str) -> None:
    data = VARIANTS[variant]
    assert (decode(data + b"\xff\xd8 and more", pixel_limit=LIMIT) == decode(data, pixel_limit=LIMIT)).all()


@pytest.mark.parametrize("variant", [each for each in VARIANTS if "png" in each])
def test_any_changed_byte_of_a_png_is_an_error(variant: str) -> None:
    data = bytearray(VARIANTS[variant])
    for place in np.random.default_rng(0).integers(0, len(data), 40):
        data[place] ^= 0x55
        with pytest.raises(ImageError):
            decode(bytes(data), pixel_limit=LIMIT)
        data[place] ^= 0x55


@pytest.mark.parametrize("variant", VARIANTS)
def test_changed_bytes_are_an_error_of_ours_or_a_picture(variant: str) -> None:
    random = np.random.default_rng(1)
    for _ in range(60):
        data = bytearray(VARIANTS[variant])
        for place in random.integers(0, len(data), 3):
            data[place] = random.integers(256)
        with suppress(ImageError):
            assert decode(bytes(data), pixel_limit=LIMIT).shape[0] == 3


@pytest.mark.usefixtures("_truncated")
@pytest.mark.parametrize(("width", "height"), [(53, 74), (106, 37), (53, 36), (26, 37), (53, 38)])
@pytest.mark.parametrize("variant", ["png", "png adam7", "png rgb 16"])
def test_a_png_whose_header_lies(variant: str, width: int, height: int) -> None:
    data = VARIANTS[variant]
    header = struct.pack(">II", width, height) + data[24:29]
    with pytest.raises(ImageError, match=f"header says {width} × {height}"):
        decode(data[:8] + chunk(b"IHDR", header) + data[33:], pixel_limit=LIMIT)


@pytest.mark.usefixtures("_truncated")
@pytest.mark.parametrize(("width", "height"), [(53, 74), (106, 37), (53, 60)])
@pytest.mark.parametrize("variant", ["jpeg", "jpeg progressive", "jpeg grey", "jpeg cmyk"])
def test_a_jpeg_whose_header_says_too_much(variant: str, width: int, height: int) -> None:
    data = VARIANTS[variant]
    begin = data.index(b"\xff\xc2" if "progressive" in variant else b"\xff\xc0") + 5
    with pytest.raises(ImageError, match=f"header says {width} × {height}, and its pixels are fewer"):
        decode(data[:begin] + struct.pack(">HH", height, width) + data[begin + 4 :], pixel_limit=LIMIT)


@pytest.mark.parametrize("variant", ["jpeg", "jpeg grey", "jpeg cmyk"])
def test_a_jpeg_cut_and_closed_again(variant: str) -> None:
    data = VARIANTS[variant]
    scan = data.index(b"\xff\xda")
    cut = data[: scan + (len(data) - scan) // 2] + b"\xff\xd9"
    with pytest.raises(ImageError, match="its pixels are fewer"):
        decode(cut, pixel_limit=LIMIT)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("restart", [0, 1])
def test_a_jpeg_may_well_end_in_grey(mode: str, progressive: bool, restart: int) -> None:
    picture = Image.new("RGB", (100, 80), (128, 128, 128))
    picture.paste(Image.fromarray(photo()), (10, 10))
    grey = picture.convert(mode)
    if mode == "CMYK":
        grey.paste((128, 128, 128, 128), (0, 50, 100, 80))
    data = encode(grey, "JPEG", progressive=progressive, restart_marker_rows=restart)
    assert decode(data, pixel_limit=LIMIT).shape == (3, 80, 100)


def test_the_limit_is_checked_before_the_pixels() -> None:
    """A file of 100 bytes whose header says 60000 × 60000 is refused at once, without a warning."""
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageError, match=r"60000 × 60000 = 3600 million pixels, expected at most 100 million"):
            decode(b"\x89PNG\r\n\x1a\n" + parts, pixel_limit=100_000_000)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_the_limit_can_be_set(kind: str) -> None:
    data = encode(Image.fromarray(photo()), kind)
    assert decode(data, pixel_limit=37 * 53).shape == (3, 37, 53)
    with pytest.raises(ImageError, match="raise pixel_limit"):
        decode(data, pixel_limit=37 * 53 - 1)


def test_a_small_file_cannot_unpack_to_much() -> None:
    bomb = zlib.compress(bytes(50_000_000))
    header = struct.pack(">IIBBBBB", 10, 10, 8, 0, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", bomb) + chunk(b"IEND", b"")
    with pytest.raises(ImageError, match="10 × 10"):
        decode(b"\x89PNG\r\n\x1a\n" + parts, pixel_limit=LIMIT)


def test_pillows_own_limit_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1500)
    for kind in ("PNG", "JPEG", "WEBP"):
        assert decode(encode(Image.fromarray(photo()), kind), pixel_limit=LIMIT).shape == (3, 37, 53)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for kind in ("PNG", "JPEG"):
        assert decode(encode(Image.fromarray(photo()), kind), pixel_limit=LIMIT).shape == (3, 37, 53)


@pytest.mark.parametrize("kind", ["GIF", "BMP", "AVIF", "ICO", "PPM"])
def test_other_formats_are_named(kind: str) -> None:
    name = {"ICO": "an icon", "PPM": "of a kind unknown"}.get(kind, f"a[n]? {kind} picture")
    with pytest.raises(ImageError, match=f"it is {name}.*expected a PNG, JPEG, WebP, TIFF, NPY or DICOM file"):
        decode(encode(Image.fromarray(photo(32, 32)), kind), pixel_limit=LIMIT)
