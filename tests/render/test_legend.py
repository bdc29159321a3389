import numpy as np
import pytest
from PIL import Image, ImageChops

from convscope.render.colours import DIVERGING, SEQUENTIAL, Scale
from convscope.render.legend import LEGEND_HEIGHT, colour_bar, with_legend

BAR_MIDDLE = 9


def row_of_bar(picture: Image.Image) -> list[list[int]]:
    found: list[list[int]] = np.asarray(picture)[BAR_MIDDLE].tolist()
    return found


def test_the_bar_runs_through_the_map() -> None:
    bar = colour_bar(Scale(0.0, 3.0), 256, unit="activation")
    assert bar.size == (256, LEGEND_HEIGHT)
    assert row_of_bar(bar) == SEQUENTIAL.tolist()
    assert row_of_bar(colour_bar(Scale(-3.0, 3.0), 256)) == DIVERGING.tolist()


def test_ends_and_unit_are_written() -> None:
    bar = colour_bar(Scale(0.0, 3.0), 200, unit="logit")
    for other in (
        colour_bar(Scale(0.0, 4.0), 200, unit="logit"),
        colour_bar(Scale(0.0, 3.0), 200, unit="probability"),
        colour_bar(Scale(0.0, 3.0), 200, unit="logit", ends=("least", "most")),
    ):
        difference = ImageChops.difference(bar, other).getbbox()
        assert difference is not None
        assert difference[1] > BAR_MIDDLE


@pytest.mark.parametrize("width", [1, 10, 40, 120])
def test_a_narrow_bar_is_no_error(width: int) -> None:
    assert colour_bar(Scale(-12345.0, 12345.0), width, unit="a very long unit").width == width


@pytest.mark.parametrize(
    ("values", "pointed"),
    [
        ([0.0, 1.0], (False, False)),
        ([-1.0, 1.0], (True, False)),
        ([0.0, 2.0], (False, True)),
        ([np.inf], (False, False)),
    ],
)
def test_values_beyond_an_end_make_it_pointed(values: list[float], pointed: tuple[bool, bool]) -> None:
    upper_corner = np.asarray(colour_bar(Scale(0.0, 1.0), 200, values=values))[6]
    white = [255, 255, 255]
    assert ([*upper_corner[0]] == white, [*upper_corner[-1]] == white) == pointed


def test_picture_and_legend_share_the_left_edge() -> None:
    joined = with_legend(Image.new("RGB", (30, 20), "red"), Image.new("RGB", (50, 10), "blue"))
    assert joined.size == (50, 30)
    assert joined.getpixel((0, 19)) == (255, 0, 0)
    assert joined.getpixel((0, 20)) == (0, 0, 255)
    assert joined.getpixel((40, 5)) == (255, 255, 255)
