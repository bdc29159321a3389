"""Charts of curves: where lines lie, what is written, and what is refused."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from convscope.errors import ImageError
from convscope.render.curves import PALETTE, Curve, curves, ticks


def pixels_of(picture: object, colour: tuple[int, int, int]) -> NDArray[np.int64]:
    """Rows and columns of the pixels that have nearly this colour."""
    return np.argwhere(np.abs(np.asarray(picture).astype(int) - colour).max(-1) < 12)


def test_a_line_lies_where_its_numbers_say() -> None:
    picture = curves([Curve("falls", [0, 1], [1, 0])], size=(200, 300), x_range=(0, 1), y_range=(0, 1))
    found = pixels_of(picture.crop((0, 0, 300, 200)), PALETTE[0])
    first, last = found[found[:, 1].argmin()], found[found[:, 1].argmax()]
    assert first[0] < 25
    assert last[0] > 165
    middle = found[np.abs(found[:, 1] - (first[1] + last[1]) / 2).argmin()]
    assert abs(middle[0] - (first[0] + last[0]) / 2) < 4


def test_each_line_has_its_colour_and_a_line_in_the_legend() -> None:
    lines = [Curve(f"line {index}", [0, 1, 2], [index, index + 1, index]) for index in range(3)]
    picture = curves(lines, size=(160, 240))
    assert picture.width == 240
    for colour in PALETTE[:3]:
        found = pixels_of(picture, colour)
        assert (found[:, 0] < 160).any()
        assert (found[:, 0] >= 160).any()


def test_a_band_is_a_shade_between_its_edges() -> None:
    x = np.linspace(0, 1, 30)
    plain = np.asarray(curves([Curve("", x, x * 0, x * 0, x * 0)], y_range=(-1, 1)))
    banded = np.asarray(curves([Curve("", x, x * 0, x * 0 - 0.5, x * 0 + 0.5)], y_range=(-1, 1)))
    assert (plain != banded).any(-1).mean() > 0.2


def test_gaps_and_single_points_are_drawn() -> None:
    line = Curve("", [0, 1, 2, 3], [0, float("nan"), 1, float("inf")])
    assert len(pixels_of(curves([line]), PALETTE[0])) > 10


@given(
    st.floats(-1e6, 1e6, allow_nan=False), st.floats(1e-3, 1e6, allow_nan=False), st.integers(3, 9)
)  # fmt: skip
@example(0.0, 249999.99999999988, 5)
def test_ticks_are_few_even_and_within(low: float, span: float, most: int) -> None:
    found = ticks(low, low + span, most=most)
    assert 1 <= len(found) <= most
    assert min(found) >= low - 1e-6 * span
    assert max(found) <= low + span + 1e-6 * span
    steps = np.diff(found)
    assert np.allclose(steps, steps[:1], rtol=1e-3)


def test_words_can_stand_for_numbers() -> None:
    line = Curve("", [0, 1], [0, 1])
    plain, worded = (curves([line], x_ticks=each) for each in (None, [(0.0, "stem"), (1.0, "head")]))
    assert (np.asarray(plain) != np.asarray(worded)).any()


def test_even_lines_and_large_numbers_have_room() -> None:
    for values in ([3.0, 3.0], [0.0, 0.0], [-1e9, 1e9], [1e-9, 2e-9]):
        assert len(pixels_of(curves([Curve("", [0, 1], values)], title="a title", y_label="unit"), PALETTE[0])) > 10


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "no lines"),
        ([Curve("", [0, 1], [float("nan")] * 2)], "no numbers"),
        ([Curve("odd", [0, 1], [1, 2, 3])], "'odd' has x"),
        ([Curve("flat", [[0, 1]], [[1, 2]])], "'flat' has x"),
    ],
)
def test_what_cannot_be_drawn_is_refused(lines: list[Curve], message: str) -> None:
    with pytest.raises(ImageError, match=message):
        curves(lines)
