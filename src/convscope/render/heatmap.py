"""A map of numbers as a picture, with the scale that tells them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convscope.errors import ImageError
from convscope.render.colours import Scale, to_array
from convscope.render.legend import LEGEND_MINIMUM, colour_bar, with_legend

READABLE_SIDE = 224
"""Pixels that the longer side of a small map is brought to, as near as a whole factor can."""


def heatmap(
    values: Any,
    *,
    scale: Scale | None = None,
    size: tuple[int, int] | None = None,
    smooth: bool = False,
    legend: str | None = None,
) -> Image.Image:
    """Draw a map of numbers (H, W): blue to red about 0 if any is negative, else dark to bright from 0.

    An enlarged map shows its pixels as squares, unless `smooth`; a reduced one is averaged. NaN and infinity are
    grey. Without a `size` (height, width), a small map grows by the whole factor that brings its longer side nearest
    to 224 pixels, and a larger one keeps its size. `legend` names the unit and adds a colour bar below: 32 pixels,
    the whole then at least 120 wide. Raises `ImageError` for another shape.

    >>> heatmap([[0.0, 1.0], [2.0, 3.0]]).size
    (224, 224)
    >>> heatmap([[0.0, 1.0], [2.0, 3.0]], size=(40, 60), legend="activation").size
    (120, 72)
    """
    array = to_map(values)
    used = scale or Scale.of(array)
    height, width = size or readable_size(array.shape[0], array.shape[1])
    picture = Image.fromarray(used.paint(resample(used.position(array), (height, width), smooth=smooth)))
    if legend is None:
        return picture
    return with_legend(picture, colour_bar(used, max(width, LEGEND_MINIMUM), unit=legend, values=array))


def to_map(values: Any) -> NDArray[np.float64]:
    """Numbers (H, W) as float64. Raises `ImageError` for another shape, or an empty one."""
    array = to_array(values)
    if array.ndim != 2 or array.size == 0:
        raise ImageError(
            f"a map of shape {array.shape}; expected (height, width): reduce channels first, "
            "for example with .sum(0), or show them all with channel_grid"
        )
    return array


def readable_size(height: int, width: int) -> tuple[int, int]:
    """(height, width) of a small map enlarged by a whole factor to about 224 pixels; a large map's own.

    >>> readable_size(7, 7), readable_size(15, 10), readable_size(300, 200)
    ((224, 224), (225, 150), (300, 200))
    """
    factor = max(1, round(READABLE_SIDE / max(height, width)))
    return height * factor, width * factor


def resample(position: NDArray[np.float64], size: tuple[int, int], *, smooth: bool) -> NDArray[np.float64]:
    """Positions on a scale (H, W), in [0, 1], brought to `size` before they become colours.

    Numbers are averaged, never colours: between blue and red lies 0, which is white and not purple. NaN keeps to its
    own pixels: an average leaves it out, and is NaN itself where NaN has the greater weight.
    """
    (height, width), (rows, columns) = position.shape, size
    if not smooth and rows >= height and columns >= width:
        row = (np.arange(rows) * 2 + 1) * height // (2 * rows)
        column = (np.arange(columns) * 2 + 1) * width // (2 * columns)
        return np.asarray(position[np.ix_(row, column)])
    known = np.isfinite(position)
    weight = _interpolate(known.astype(np.float64), size)
    total = _interpolate(np.where(known, position, 0.0), size)
    return np.where(weight > 0.5, np.clip(total / np.maximum(weight, 0.5), 0, 1), np.nan)


def _interpolate(array: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    picture = Image.fromarray(array.astype(np.float32))
    # Pillow widens the triangle when it reduces, so that one filter serves both ways.
    return np.asarray(picture.resize((size[1], size[0]), Image.Resampling.BILINEAR), dtype=np.float64)
