import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.lib.format import write_array
from numpy.typing import NDArray

from convscope.errors import ImageError
from convscope.image.decode import decode

LIMIT = 1_000_000
GREY = np.random.default_rng(0).integers(0, 2**16, (5, 7), dtype=np.uint16)
COLOURS = np.random.default_rng(1).integers(0, 2**8, (5, 7, 3), dtype=np.uint8)


def npy(array: NDArray[Any], version: tuple[int, int] = (1, 0)) -> bytes:
    stream = io.BytesIO()
    write_array(stream, array, version)
    return stream.getvalue()


def error_of(array: NDArray[Any], **options: Any) -> str:
    with pytest.raises(ImageError) as caught:
        decode(npy(array), **{"pixel_limit": LIMIT, **options})
    return str(caught.value)


@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
@pytest.mark.parametrize("array", [GREY, GREY.astype(">u2"), np.asfortranarray(GREY), GREY[None], GREY[..., None]])
def test_grey(array: NDArray[Any], version: tuple[int, int]) -> None:
    for channels in (1, 3):
        pixels = decode(npy(array, version), pixel_limit=LIMIT, channels=channels)
        assert pixels.shape == (channels, 5, 7)
        assert pixels.flags.c_contiguous
        assert (pixels == GREY / np.float32(65535)).all()


@pytest.mark.parametrize("array", [COLOURS, COLOURS.transpose(2, 0, 1)])
def test_colours_first_or_last(array: NDArray[Any]) -> None:
    assert (decode(npy(array), pixel_limit=LIMIT) == COLOURS.transpose(2, 0, 1) / np.float32(255)).all()
    luminance = COLOURS @ [0.299, 0.587, 0.114] / 255
    np.testing.assert_allclose(decode(npy(array), pixel_limit=LIMIT, channels=1)[0], luminance, atol=1e-6)


@pytest.mark.parametrize("axis", [0, 2])
@pytest.mark.parametrize("channels", [2, 4, 13])
def test_bands_first_or_last(axis: int, channels: int) -> None:
    bands = np.random.default_rng(2).random((channels, 5, 7))
    pixels = decode(npy(np.moveaxis(bands, 0, axis)), pixel_limit=LIMIT, channels=channels)
    assert (pixels == bands.astype(np.float32)).all()


@pytest.mark.parametrize(("shape", "channels", "expected"), [((1, 5, 3), 3, (3, 1, 5)), ((3, 5, 1), 1, (1, 3, 5))])
def test_the_number_wanted_goes_first(shape: tuple[int, ...], channels: int, expected: tuple[int, ...]) -> None:
    assert decode(npy(np.zeros(shape)), pixel_limit=LIMIT, channels=channels).shape == expected


@pytest.mark.parametrize("kind", ["f2", "f4", "f8", ">f8", "?"])
def test_floats_and_truth_values_are_as_they_are(kind: str) -> None:
    array = np.array([[0, 0.25, 1]]).astype(kind)
    assert (decode(npy(array), pixel_limit=LIMIT, channels=1)[0] == array.astype(float)).all()


def test_integers_without_a_scale_take_a_window() -> None:
    hounsfield = np.array([[-1000, 40, 1000]], dtype=np.int16)
    assert "give window=(-1000, 1000)" in error_of(hounsfield)
    assert decode(npy(hounsfield), pixel_limit=LIMIT, channels=1, window=(-60, 140)).ravel().tolist() == [0, 0.5, 1]


@pytest.mark.parametrize(
    ("array", "options", "message"),
    [
        (
            np.zeros((3, 5, 3)),
            {},
            "3 × 5 × 3, of which the first axis or the last may be the 3 channels: make it",
        ),
        (np.zeros((4, 9, 4)), {"channels": 4}, "may be the 4 channels"),
        (np.zeros((8, 9, 6)), {}, "8 × 9 × 6, expected 1 or 3 channels first or last: give channels=6, if that is"),
        (np.zeros((5, 7, 3)), {"channels": 4}, "5 × 7 × 3, expected 4 channels first or last: give channels=3"),
        (GREY, {"channels": 2}, "it has 1 channel, expected 2: give channels=1"),
        (np.zeros(5), {}, "it is an array of 5, expected (H, W), (H, W, C) or (C, H, W)"),
        (np.zeros(()), {}, "it is an array of a single number, expected"),
        (np.zeros((2, 3, 5, 7)), {}, "2 × 3 × 5 × 7, expected (H, W), (H, W, C) or (C, H, W): save one picture"),
        (np.zeros((0, 7)), {}, "0 × 7, without pixels"),
        (np.zeros((2, 3), dtype=[("a", "f4")]), {}, "expected whole or floating-point numbers"),
        (GREY, {"page": 1}, "got page=1, expected 0: it has 1 page"),
        (np.full((5, 7), np.nan), {}, "35 of its 35 values are NaN"),
    ],
)
def test_what_cannot_be_an_image(array: NDArray[Any], options: dict[str, Any], message: str) -> None:
    assert message in error_of(array, **options)


def test_named_fields_of_the_newest_version() -> None:
    stream = io.BytesIO()
    write_array(stream, np.zeros((2, 3), dtype=[("λ", "f4")]), (3, 0))
    with pytest.raises(ImageError, match="named fields"):
        decode(stream.getvalue(), pixel_limit=LIMIT)


def test_python_objects_are_never_loaded(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, tuple[Path]]:
            return Path.touch, (tmp_path / "sprung",)

    assert "Python objects" in error_of(np.array([[Trap()]], dtype=object))
    assert not (tmp_path / "sprung").exists()


def test_a_file_cut_anywhere_is_an_error() -> None:
    data = npy(COLOURS)
    for length in range(len(data)):
        with pytest.raises(ImageError, match="expected"):
            decode(data[:length], pixel_limit=LIMIT)


def test_the_limit_is_checked_before_the_pixels() -> None:
    """A file of some bytes whose header says 60000 × 60000 is refused for its size, not its end."""
    data = npy(np.zeros((10000, 1), dtype=np.uint8))[:128].replace(b"(10000, 1), ", b"(60000, 60000), ")[:128]
    with pytest.raises(ImageError, match="60000 × 60000 = 3600 million pixels"):
        decode(data, pixel_limit=LIMIT)
    assert "40 channels, as large as" in error_of(np.zeros((10, 10, 40)), channels=40, pixel_limit=999)
