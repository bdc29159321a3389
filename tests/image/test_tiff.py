import importlib.util
import io
import struct
import sys
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from convscope.errors import ImageError, MissingExtra
from convscope.image.decode import decode
from convscope.image.tiff_directories import pages

LIMIT = 1_000_000
RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 2**16, (5, 7), dtype=np.uint16)
COLOURS = RANDOM.integers(0, 2**8, (5, 7, 3), dtype=np.uint8)


def tiff(*arrays: NDArray[Any], big: bool = False, order: str = "<", **options: Any) -> bytes:
    """A TIFF of one page an array."""
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream, bigtiff=big, byteorder=order) as writer:  # type: ignore[arg-type]
        for array in arrays:
            writer.write(array, contiguous=False, **options)
    return stream.getvalue()


def by_pillow(picture: Image.Image, **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "TIFF", **options)
    return stream.getvalue()


def error_of(data: bytes, **options: Any) -> str:
    with pytest.raises(ImageError) as caught:
        decode(data, **{"pixel_limit": LIMIT, **options})
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Values


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_grey(kind: type[np.unsignedinteger[Any]], order: str, big: bool) -> None:
    levels = GREY.astype(kind)
    for channels in (1, 3):
        pixels = decode(tiff(levels, big=big, order=order), pixel_limit=LIMIT, channels=channels)
        assert pixels.dtype == np.float32
        assert pixels.shape == (channels, 5, 7)
        assert (pixels == levels / np.float32(np.iinfo(kind).max)).all()


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_floats(kind: type[np.floating[Any]]) -> None:
    values = RANDOM.random((5, 7)).astype(kind)
    assert (decode(tiff(values), pixel_limit=LIMIT, channels=1)[0] == values.astype(np.float32)).all()
    assert "expected 0 to 1: give window=(" in error_of(tiff(values * 3))
    assert "values are NaN" in error_of(tiff(np.where(values > 0.5, np.nan, values).astype(kind)))


@pytest.mark.parametrize("kind", [np.int8, np.int16, np.int32, np.uint32])
def test_integers_that_need_a_window(kind: type[np.integer[Any]]) -> None:
    values = np.array([[10, 60, 110]], dtype=kind)
    assert "nothing says which are black and white: give window=(10, 110)" in error_of(tiff(values))
    assert decode(tiff(values), pixel_limit=LIMIT, channels=1, window=(10, 110)).ravel().tolist() == [0, 0.5, 1]


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [2, 3, 4, 9])
def test_bands(channels: int, kind: type[Any], planar: str) -> None:
    white = 1 if kind is np.float32 else np.iinfo(kind).max
    bands = (RANDOM.random((channels, 5, 7)) * white).astype(kind)
    stored = bands if planar == "separate" else bands.transpose(1, 2, 0)
    data = tiff(stored, planarconfig=planar, photometric="minisblack", extrasamples=["unspecified"] * (channels - 1))
    pixels = decode(data, pixel_limit=LIMIT, channels=channels)
    np.testing.assert_allclose(pixels, bands / np.float32(white), rtol=1e-6)
    if channels != 3:
        assert f"it has {channels} channels, expected grey or red, green and blue" in error_of(data)


@pytest.mark.parametrize(
    "options", [{"tile": (16, 16)}, {"rowsperstrip": 2}, {"compression": "zlib", "predictor": True}]
)
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_colours_however_they_lie(planar: str, options: dict[str, Any]) -> None:
    levels = RANDOM.integers(0, 256, (40, 37, 3), dtype=np.uint8)
    stored = levels if planar == "contig" else levels.transpose(2, 0, 1)
    data = tiff(stored, planarconfig=planar, photometric="rgb", **options)
    assert (decode(data, pixel_limit=LIMIT) == levels.transpose(2, 0, 1) / np.float32(255)).all()


@pytest.mark.parametrize("kind", ["assocalpha", "unassalpha"])
@pytest.mark.parametrize("colours", [1, 3])
def test_alpha_is_laid_over_white(colours: int, kind: str) -> None:
    levels = RANDOM.integers(0, 256, (5, 7, colours + 1), dtype=np.uint8)
    data = tiff(levels, photometric="rgb" if colours == 3 else "minisblack", planarconfig="contig", extrasamples=[kind])
    stored, alpha = levels[..., :-1] / 255, levels[..., -1:] / 255
    over_white = (stored if kind == "assocalpha" else stored * alpha) + 1 - alpha
    pixels = decode(data, pixel_limit=LIMIT)
    np.testing.assert_allclose(pixels, np.broadcast_to(over_white, (5, 7, 3)).transpose(2, 0, 1), atol=1e-6)
    own = decode(data, pixel_limit=LIMIT, channels=colours + 1)
    np.testing.assert_allclose(own, levels.transpose(2, 0, 1) / 255, rtol=1e-6)


def test_white_may_be_zero() -> None:
    assert (decode(tiff(GREY, photometric="miniswhite"), pixel_limit=LIMIT)[0] == 1 - GREY / np.float32(65535)).all()


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK"])
def test_as_pillow_writes_and_reads_it(mode: str) -> None:
    picture = Image.fromarray(COLOURS).convert(mode)
    expected = np.asarray(picture.convert("RGB")).transpose(2, 0, 1) / 255
    np.testing.assert_allclose(decode(by_pillow(picture), pixel_limit=LIMIT), expected, atol=1e-6)


def test_ink_as_it_is() -> None:
    picture = Image.new("CMYK", (3, 2), (255, 0, 51, 102))
    assert decode(by_pillow(picture), pixel_limit=LIMIT, channels=4)[:, 1, 1].tolist() == pytest.approx(
        [1, 0, 0.2, 0.4]
    )


@pytest.mark.parametrize("factor", [1, 256, 257])
def test_a_palette_however_it_is_spread(factor: int) -> None:
    palette = RANDOM.integers(0, 256, (3, 256)).astype(np.uint16)
    places = GREY.astype(np.uint8)
    data = tiff(places, photometric="palette", colormap=palette * np.uint16(factor))
    assert (decode(data, pixel_limit=LIMIT) == palette[:, places] / np.float32(255)).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_come_upright(orientation: int) -> None:
    stored_from_upright = {
        1: COLOURS, 2: COLOURS[:, ::-1], 3: COLOURS[::-1, ::-1], 4: COLOURS[::-1], 5: COLOURS.swapaxes(0, 1),
        6: np.rot90(COLOURS), 7: np.rot90(COLOURS, 2).swapaxes(0, 1), 8: np.rot90(COLOURS, -1),
    }  # fmt: skip
    stored = np.ascontiguousarray(stored_from_upright[orientation])
    data = tiff(stored, photometric="rgb", extratags=[(274, 3, 1, orientation, True)])
    assert (decode(data, pixel_limit=LIMIT) == COLOURS.transpose(2, 0, 1) / np.float32(255)).all()


# Pages


@pytest.mark.parametrize("big", [False, True])
def test_a_page_is_chosen(big: bool) -> None:
    arrays = [np.full((4 + page, 6), page * 1000, dtype=np.uint16) for page in range(5)]
    data = tiff(*arrays, big=big)
    for page, array in enumerate(arrays):
        pixels = decode(data, pixel_limit=LIMIT, channels=1, page=page)
        assert (pixels[0] == array / np.float32(65535)).all()
    assert error_of(data, page=5) == "got page=5, expected 0 to 4: it has 5 pages, counted from 0"
    assert error_of(tiff(GREY), page=1) == "got page=1, expected 0: it has 1 page"


def test_thumbnails_are_no_pages() -> None:
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        for page in (10, 20):
            writer.write(np.full((8, 8), page, dtype=np.uint8))
            writer.write(np.full((2, 2), page, dtype=np.uint8), subfiletype=1)
    assert pages(stream.getvalue()) == [0, 2]
    assert decode(stream.getvalue(), pixel_limit=LIMIT, page=1)[0, 0, 0] == np.float32(20) / np.float32(255)
    assert "it has 2 pages" in error_of(stream.getvalue(), page=2)


def test_pages_of_a_stack_as_tifffile_writes_it() -> None:
    stack = RANDOM.random((6, 5, 7)).astype(np.float32)
    stream = io.BytesIO()
    tifffile.imwrite(stream, stack, photometric="minisblack")
    for page in range(6):
        assert (decode(stream.getvalue(), pixel_limit=LIMIT, page=page)[0] == stack[page]).all()


# Damage


VARIANTS = {
    "grey": tiff(GREY),
    "big, other order": tiff(GREY, big=True, order=">"),
    "pages": tiff(GREY, GREY, GREY),
    "strips": tiff(COLOURS, photometric="rgb", rowsperstrip=1),
    "tiles": tiff(COLOURS, photometric="rgb", tile=(16, 16)),
    "packed": tiff(COLOURS, photometric="rgb", compression="zlib"),
    "Pillow's": by_pillow(Image.fromarray(COLOURS)),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_file_cut_anywhere_is_an_error(variant: str, caplog: pytest.LogCaptureFixture) -> None:
    data = VARIANTS[variant]
    assert decode(data, pixel_limit=LIMIT).shape == (3, 5, 7)
    begins_with_pixels = 8 if variant == "Pillow's" else 0
    for length in range(begins_with_pixels, len(data) - 3, max(1, len(data) // 150)):
        with pytest.raises(ImageError, match="expected"):
            decode(data[:length], pixel_limit=LIMIT)
    assert not caplog.records, "nothing is printed"


@pytest.mark.parametrize("variant", VARIANTS)
def test_changed_bytes_are_an_error_of_ours_or_a_picture(variant: str) -> None:
    for _ in range(60):
        data = bytearray(VARIANTS[variant])
        for place in RANDOM.integers(0, len(data), 3):
            data[place] = RANDOM.integers(256)
        with suppress(ImageError, MissingExtra):
            assert decode(bytes(data), pixel_limit=LIMIT).shape[0] == 3


def with_tag(data: bytes, tag: int, value: int) -> bytes:
    """A small little-endian TIFF of one page, with the value of a tag replaced."""
    (begin,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, begin)
    changed = bytearray(data)
    for entry in range(begin + 2, begin + 2 + 12 * count, 12):
        found, kind = struct.unpack_from("<HH", data, entry)
        if found == tag:
            struct.pack_into("<H" if kind == 3 else "<I", changed, entry + 8, value)
    return bytes(changed)


@pytest.mark.parametrize("variant", ["grey", "strips", "tiles", "packed"])
def test_a_header_that_says_too_much(variant: str) -> None:
    message = error_of(with_tag(VARIANTS[variant], 257, 300))
    assert "header says 7 × 300, and its pixels are fewer" in message or "cannot be reshaped" in message


def test_the_limit_is_checked_before_the_pixels() -> None:
    data = with_tag(with_tag(tiff(COLOURS, photometric="rgb", compression="zlib"), 256, 60000), 257, 60000)
    assert "60000 × 60000 = 3600 million pixels" in error_of(data)
    assert "5 channels, as large as" in error_of(
        tiff(np.zeros((5, 9, 9), "u1"), planarconfig="separate"), pixel_limit=90
    )


def test_pages_that_go_round_in_a_circle() -> None:
    data = bytearray(tiff(GREY))
    (begin,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, begin)
    struct.pack_into("<I", data, begin + 2 + 12 * count, begin)
    assert "its pages go round in a circle" in error_of(bytes(data))


def test_a_count_beyond_all_memory_is_the_end_of_the_file() -> None:
    data = bytearray(tiff(GREY, rowsperstrip=1))
    (begin,) = struct.unpack_from("<I", data, 4)
    place = data.index(struct.pack("<HH", 273, 4), begin)
    struct.pack_into("<I", data, place + 4, 2**32 - 1)
    assert "the file ends too early" in error_of(bytes(data))


def test_colours_that_are_not_what_they_seem() -> None:
    assert "its colours are stored as CIELAB, expected grey" in error_of(by_pillow(Image.new("LAB", (4, 4))))


def test_a_volume() -> None:
    data = tiff(np.zeros((16, 16, 16), np.uint8), volumetric=True, tile=(16, 16, 16))
    assert "a volume 16 deep, expected a picture: save its slices as pages" in error_of(data)


# What is not installed


@pytest.mark.parametrize("packing", ["tiff_lzw", "packbits"])
def test_packed_files(packing: str) -> None:
    data = by_pillow(Image.fromarray(COLOURS), compression=packing)
    if packing == "packbits" or importlib.util.find_spec("imagecodecs"):
        assert (decode(data, pixel_limit=LIMIT) == COLOURS.transpose(2, 0, 1) / np.float32(255)).all()
    else:
        with pytest.raises(MissingExtra, match=r"reading a TIFF packed as LZW needs .* 'convscope\[tiff\]'"):
            decode(data, pixel_limit=LIMIT)


def test_without_tifffile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(MissingExtra, match=r"reading TIFF files needs .* 'convscope\[tiff\]'"):
        decode(VARIANTS["grey"], pixel_limit=LIMIT)
