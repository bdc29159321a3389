"""Channels and windows: how what is stored becomes what was asked for, whatever the format."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from convscope.errors import ImageError
from convscope.image.decode import decode
from convscope.image.samples import Samples, Wanted, to_image

LIMIT = 1_000_000
RANDOM = np.random.default_rng(0)


def encode(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, lossless=True, exact=True, **options)
    return stream.getvalue()


def deep_png(levels: NDArray[np.integer[Any]], colour_type: int) -> bytes:
    """A 16-bit PNG with several channels, which Pillow can't write."""
    rows = levels.astype(">u2")
    parts = {
        b"IHDR": struct.pack(">IIBBBBB", levels.shape[1], levels.shape[0], 16, colour_type, 0, 0, 0),
        b"IDAT": zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows)),
        b"IEND": b"",
    }
    chunks = [struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in parts.items()]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def noise(mode: str) -> Image.Image:
    levels = RANDOM.integers(0, 256, (9, 11, len(mode)), dtype=np.uint8)
    return Image.fromarray(levels[..., 0] if mode == "L" else levels, mode)


def error_of(data: bytes, **options: Any) -> str:
    with pytest.raises(ImageError) as caught:
        decode(data, pixel_limit=LIMIT, **options)
    return str(caught.value)


# Channels


@pytest.mark.parametrize(("mode", "kind"), [("RGBA", "PNG"), ("LA", "PNG"), ("RGBA", "WEBP")])
def test_the_files_own_channels_are_kept_with_their_alpha(mode: str, kind: str) -> None:
    picture = noise(mode)
    pixels = decode(encode(picture, kind), pixel_limit=LIMIT, channels=len(mode))
    assert (pixels == np.asarray(picture).transpose(2, 0, 1) / np.float32(255)).all()


@pytest.mark.parametrize(("colour_type", "channels"), [(4, 2), (6, 4)])
def test_own_channels_of_sixteen_bits(colour_type: int, channels: int) -> None:
    levels = RANDOM.integers(0, 2**16, (9, 11, channels))
    pixels = decode(deep_png(levels, colour_type), pixel_limit=LIMIT, channels=channels)
    np.testing.assert_allclose(pixels, levels.transpose(2, 0, 1) / 65535, rtol=1e-6)


def test_a_colour_that_stands_for_transparency_is_a_fourth_channel() -> None:
    picture = noise("RGB")
    picture.putpixel((3, 4), (1, 2, 3))
    pixels = decode(encode(picture, transparency=(1, 2, 3)), pixel_limit=LIMIT, channels=4)
    assert pixels[3, 4, 3] == 0
    assert pixels[3].sum() == 9 * 11 - 1


def test_a_grey_level_that_stands_for_transparency_is_a_second_channel() -> None:
    picture = Image.new("L", (4, 3), 7)
    picture.putpixel((2, 1), 200)
    pixels = decode(encode(picture, transparency=200), pixel_limit=LIMIT, channels=2)
    assert pixels[:, 1, 2].tolist() == pytest.approx([200 / 255, 0])
    assert pixels[1].sum() == 11


def test_ink_is_kept_as_it_is() -> None:
    picture = Image.new("CMYK", (16, 16), (255, 0, 51, 102))
    pixels = decode(encode(picture, "JPEG", quality=100), pixel_limit=LIMIT, channels=4)
    np.testing.assert_allclose(pixels[:, 8, 8], [1, 0, 0.2, 0.4], atol=0.01)


def test_one_channel_of_colours_is_their_luminance() -> None:
    picture = noise("RGB")
    expected = np.asarray(picture) @ [0.299, 0.587, 0.114] / 255
    pixels = decode(encode(picture), pixel_limit=LIMIT, channels=1)
    assert pixels.dtype == np.float32
    assert pixels.shape == (1, 9, 11)
    np.testing.assert_allclose(pixels[0], expected, atol=1e-6)


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_one_channel_of_grey_is_as_it_is(depth: type[np.unsignedinteger[Any]]) -> None:
    levels = RANDOM.integers(0, np.iinfo(depth).max, (9, 11)).astype(depth)
    pixels = decode(encode(Image.fromarray(levels)), pixel_limit=LIMIT, channels=1)
    assert (pixels[0] == levels / np.float32(np.iinfo(depth).max)).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_one_channel_is_laid_over_white_too(mode: str) -> None:
    data = encode(noise(mode))
    colours = decode(data, pixel_limit=LIMIT)
    expected = np.tensordot([0.299, 0.587, 0.114], colours, axes=1)
    np.testing.assert_allclose(decode(data, pixel_limit=LIMIT, channels=1)[0], expected, atol=1e-6)


@pytest.mark.parametrize(("mode", "has"), [("RGB", "3 channels"), ("L", "1 channel"), ("LA", "2 channels")])
def test_another_number_of_channels_is_an_error(mode: str, has: str) -> None:
    expected = f"it has {has}, expected 4: give channels={has[0]}, or a file that has 4"
    assert error_of(encode(noise(mode)), channels=4) == expected


# Windows


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_window_is_in_stored_values(mode: str) -> None:
    picture = noise(mode)
    pixels = decode(encode(picture), pixel_limit=LIMIT, window=(50, 178))
    stored = np.atleast_3d(np.asarray(picture)).astype(float)
    expected = np.clip((stored - 50) / 128, 0, 1).transpose(2, 0, 1)
    np.testing.assert_allclose(pixels, np.broadcast_to(expected, pixels.shape), rtol=1e-6)


def test_a_window_of_sixteen_bits() -> None:
    levels = np.array([[0, 999, 1000, 1500, 2000, 2001, 65535]], dtype=np.uint16)
    pixels = decode(encode(Image.fromarray(levels)), pixel_limit=LIMIT, channels=1, window=(1000, 2000))
    assert pixels[0].tolist() == [[0, 0, 0, 0.5, 1, 1, 1]]


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_a_window_of_few_bits_is_in_stored_values_too(bits: int) -> None:
    white = 2**bits - 1
    picture = Image.fromarray(np.arange(white + 1, dtype=np.uint8)[None])
    data = encode(picture.point(lambda level: level * 255) if bits == 1 else picture, bits=bits)
    if bits == 1:
        data = encode(Image.fromarray(np.array([[0, 255]], dtype=np.uint8)).convert("1"))
    pixels = decode(data, pixel_limit=LIMIT, channels=1, window=(0, 2 * white))
    np.testing.assert_allclose(pixels[0, 0], np.arange(white + 1) / white / 2, rtol=1e-6)


def test_a_window_leaves_the_opacity_alone_that_is_laid_over_white() -> None:
    picture = Image.new("LA", (1, 1), (64, 51))
    windowed = decode(encode(picture), pixel_limit=LIMIT, channels=1, window=(0, 128))
    assert windowed.item() == pytest.approx(0.5 * 0.2 + 0.8)


def test_a_window_of_own_channels_is_for_all_of_them() -> None:
    picture = Image.new("LA", (1, 1), (64, 96))
    windowed = decode(encode(picture), pixel_limit=LIMIT, channels=2, window=(0, 128))
    assert windowed.ravel().tolist() == [0.5, 0.75]


@given(
    st.integers(-(2**31), 2**31 - 2).flatmap(lambda low: st.tuples(st.just(low), st.integers(low + 1, 2**31 - 1))),
    st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=20),
)
@settings(max_examples=60, deadline=None)
def test_laws_of_a_window(window: tuple[int, int], stored: list[int]) -> None:
    low, high = window
    levels = np.array([sorted([*stored, low, high])], dtype=np.int32)[..., None]
    pixels = to_image(Samples(levels, None), Wanted(channels=1, window=window, pixel_limit=LIMIT))[0, 0]
    assert (np.diff(pixels) >= 0).all()
    assert (pixels[levels[0, :, 0] <= low] == 0).all()
    assert (pixels[levels[0, :, 0] >= high] == 1).all()
    inverted = to_image(Samples(levels, None, inverted=True), Wanted(channels=1, window=window, pixel_limit=LIMIT))
    np.testing.assert_array_equal(inverted[0, 0], 1 - pixels)


@pytest.mark.parametrize(
    "window", [(5, 5), (7, 5), (0, float("inf")), (float("nan"), 1), (0, 1, 2), (3,), ("0", "1"), 5, "01"]
)
def test_what_is_no_window(window: Any) -> None:
    message = error_of(encode(noise("L")), window=window)
    assert message.startswith(f"got window={window}, expected (low, high), two numbers of which the first is smaller")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 0}, "got channels=0, expected 3 (colours), 1 (grey) or the file's own number"),
        ({"channels": 2.5}, "got channels=2.5, expected 3 (colours), 1 (grey) or the file's own number"),
        ({"page": -1}, "got page=-1, expected a page's number, counted from 0"),
        ({"page": 1}, "got page=1, expected 0: it has 1 page"),
    ],
)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_what_no_file_can_give(kind: str, options: dict[str, Any], message: str) -> None:
    assert error_of(encode(noise("RGB"), kind), **options) == message


# Values that nothing says how to scale


@pytest.mark.parametrize(
    ("levels", "white", "message"),
    [
        (
            np.array([-1024, 3071], "i2"),
            None,
            "from -1024 to 3071, and nothing says which are black and white",
        ),
        (np.array([-1024, 3071], ">i2"), None, "are int16 from -1024 to 3071"),
        (np.array([0, 2**31 - 1], "i4"), None, "give window=(0, 2.147484e+09), or what else is to become 0 and 1"),
        (np.array([5, 5], "u4"), None, "give window=(5, 6)"),
        (np.array([-0.5, 1], "f4"), 1, "are float32 from -0.5 to 1, expected 0 to 1: give window=(-0.5, 1)"),
        (np.array([0, 255], "f8"), 1, "are float64 from 0 to 255, expected 0 to 1: give window=(0, 255)"),
        (np.array([0, np.inf, 3], "f4"), 1, "give window=(0, 3)"),
        (np.array([0, np.nan, np.nan], "f4"), 1, "2 of its 3 values are NaN, expected numbers: fill them in"),
        (np.array([1j, 2]), None, "are complex128, expected whole or floating-point numbers"),
        (np.array(["a"]), None, "expected whole or floating-point numbers"),
    ],
)
def test_values_that_need_a_window(levels: NDArray[Any], white: float | None, message: str) -> None:
    with pytest.raises(ImageError) as caught:
        to_image(Samples(levels[None, :, None], white), Wanted(pixel_limit=LIMIT))
    assert message in str(caught.value)


def test_huge_numbers_do_not_overflow() -> None:
    levels = np.array([[-3.4e38, 0.25, np.inf]], dtype=np.float32)[..., None]
    pixels = to_image(Samples(levels, 1), Wanted(channels=1, window=(0, 0.5), pixel_limit=LIMIT))
    assert pixels.ravel().tolist() == [0, 0.5, 1]


def test_premultiplied_alpha_is_not_multiplied_again() -> None:
    levels = np.array([[[51, 102]]], dtype=np.uint8)
    pixels = to_image(Samples(levels, 255, "premultiplied"), Wanted(channels=1, pixel_limit=LIMIT))
    assert pixels.item() == pytest.approx(0.2 + 0.6)


def test_many_channels_count_as_many_pixels() -> None:
    wanted = Wanted(channels=40, pixel_limit=1000)
    wanted.check_size(10, 10, 40)
    with pytest.raises(ImageError, match=r"11 × 10 of 40 channels, as large as 0\.0011 million pixels, expected"):
        wanted.check_size(10, 11, 40)
