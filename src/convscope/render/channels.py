"""Every channel of a layer at a glance, and on which scale."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convscope.errors import ImageError
from convscope.render import text
from convscope.render.colours import Scale, to_array
from convscope.render.grid import even_columns, fitted_size, lay_out, stack, title_strip
from convscope.render.heatmap import heatmap
from convscope.render.legend import colour_bar

_FIGURE_WIDTH = 1200
_LARGEST_CELL = 160
_SMALLEST_CELL = 24
_BAR_WIDTH = 300
_NOTE_SIZE = 11


def channel_grid(
    maps: Any,
    *,
    shared: bool,
    labels: Sequence[str] | None = None,
    columns: int | None = None,
    cell: int | None = None,
    title: str | None = None,
    unit: str = "activation",
) -> Image.Image:
    """Draw every channel of `maps` (C, H, W) in one labelled figure, and say above on which scale.

    `shared`: all channels on one scale, so that they can be compared; otherwise each on its own, so that faint ones
    can be seen. If any value is negative, every channel is drawn blue to red about 0. `labels` are the channels'
    numbers by default; `columns` and `cell` as in `grid`, by default chosen so that the figure is about 1,200 pixels
    wide. Raises `ImageError` for another shape.

    >>> channel_grid(np.ones((8, 7, 7)), shared=True, columns=4, cell=50, title="stem").width
    316
    """
    array = to_array(maps)
    if array.ndim != 3 or array.size == 0:
        raise ImageError(f"maps of shape {array.shape}; expected (channels, height, width), one image of a batch")
    count, height, width = array.shape
    across = columns or even_columns(count, proportion=height / width)
    side = cell or min(_LARGEST_CELL, max(_SMALLEST_CELL, _FIGURE_WIDTH // across - 6))
    size = fitted_size(height, width, side)
    common = Scale.of(array)
    scales = [common if shared else Scale.of(each, signed=common.diverging) for each in array]
    body = lay_out(
        [heatmap(each, scale=scale, size=size) for each, scale in zip(array, scales, strict=True)],
        labels=[str(channel) for channel in range(count)] if labels is None else labels,
        columns=across,
    )
    note = _note(array, shared=shared, unit=unit)
    return stack(
        title_strip(title),
        title_strip(note, size=_NOTE_SIZE, colour=text.QUIET_INK),
        _bar(common, array, shared=shared, unit=unit),
        body,
    )


def _note(array: NDArray[np.float64], *, shared: bool, unit: str) -> str:
    """What a viewer must know to compare two channels."""
    known = np.isfinite(array)
    note = f"one scale for all {len(array)} channels"
    if not shared:
        largest = np.where(known, np.abs(array), 0.0).max(axis=(1, 2))
        span = f"{text.number(largest.min())} to {text.number(largest.max())} {unit}".rstrip()
        note = f"each channel on its own scale, up to its largest ({span})"
    return note if known.all() else f"{note}; grey: not a number"


def _bar(common: Scale, array: NDArray[np.float64], *, shared: bool, unit: str) -> Image.Image:
    if shared:
        return colour_bar(common, _BAR_WIDTH, unit=unit, values=array)
    return colour_bar(
        common, _BAR_WIDTH, ends=("minus its largest" if common.diverging else "0", "each channel's largest")
    )
