"""The colour bar that tells a picture's scale."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from convscope.render import text
from convscope.render.colours import Scale, to_array
from convscope.render.text import PAPER, QUIET_INK

LEGEND_MINIMUM = 120
"""Pixels that a legend is wide at least."""

_LETTERS = 11
_BAR_TOP = 6
_BAR_HEIGHT = 8
_TEXT_TOP = _BAR_TOP + _BAR_HEIGHT + 3
_POINT = 5
_SPACE = 4
_INSET = 2

LEGEND_HEIGHT = _TEXT_TOP + text.line_height(_LETTERS)
"""Pixels that a legend adds below a picture."""


def colour_bar(
    scale: Scale, width: int, *, unit: str = "", values: Any = None, ends: tuple[str, str] | None = None
) -> Image.Image:
    """A legend `width` pixels wide: the colour map, the numbers at its ends, 0 where it is centred, and the unit.

    `values` are those that the scale is used for: an end that some of them pass is drawn pointed. `ends` are words
    in the place of the two numbers.

    >>> colour_bar(Scale(-1.0, 1.0), 200, unit="logit").size
    (200, 32)
    """
    picture = Image.new("RGB", (width, LEGEND_HEIGHT), PAPER)
    strip = scale.paint(np.linspace(0, 1, width)[None].repeat(_BAR_HEIGHT, axis=0))
    picture.paste(Image.fromarray(strip), (0, _BAR_TOP))
    if values is not None:
        _point_ends(picture, scale, to_array(values))
    low, high = ends or (text.number(scale.low), text.number(scale.high))
    _write_ends(picture, low, high, unit)
    taken = max(text.width(low, _LETTERS), text.width(high, _LETTERS) + text.width(unit, _LETTERS))
    if scale.diverging and 2 * taken < width - 6 * _SPACE:
        text.write(picture, "0", at=(width // 2, _TEXT_TOP), size=_LETTERS, align="centre")
    return picture


def _write_ends(picture: Image.Image, low: str, high: str, unit: str) -> None:
    """Low end left, high end right; the unit comes last and gives way where room is scarce."""
    text.write(picture, low, at=(_INSET, _TEXT_TOP), size=_LETTERS)
    right = picture.width - _INSET
    room = right - text.width(low, _LETTERS) - text.width(high, _LETTERS) - 3 * _SPACE
    shown = text.shorten(unit, room, _LETTERS)
    if shown:
        text.write(picture, shown, at=(right, _TEXT_TOP), size=_LETTERS, colour=QUIET_INK, align="right")
        right -= text.width(shown, _LETTERS) + _SPACE
    text.write(picture, high, at=(right, _TEXT_TOP), size=_LETTERS, align="right")


def _point_ends(picture: Image.Image, scale: Scale, values: np.ndarray[Any, np.dtype[np.float64]]) -> None:
    """Cut the bar to a point at each end that values pass."""
    finite = values[np.isfinite(values)]
    draw = ImageDraw.Draw(picture)
    top, bottom, right = _BAR_TOP, _BAR_TOP + _BAR_HEIGHT - 1, picture.width - 1
    middle = (top + bottom) / 2
    for passed, edge, inner in (
        (bool((finite < scale.low).any()), 0, _POINT),
        (bool((finite > scale.high).any()), right, right - _POINT),
    ):
        if passed:
            draw.polygon([(edge, top), (inner, top), (edge, middle)], fill=PAPER)
            draw.polygon([(edge, bottom), (inner, bottom), (edge, middle)], fill=PAPER)


def with_legend(picture: Image.Image, legend: Image.Image) -> Image.Image:
    """`picture` with `legend` below it, both from the left edge, on paper."""
    joined = Image.new("RGB", (max(picture.width, legend.width), picture.height + legend.height), PAPER)
    joined.paste(picture, (0, 0))
    joined.paste(legend, (0, picture.height))
    return joined


def captioned(picture: Image.Image, lines: Sequence[str]) -> Image.Image:
    """`picture` with lines of text below it, the first in full ink, cut where they are longer than it is wide."""
    height = text.line_height(_LETTERS)
    caption = Image.new("RGB", (picture.width, height * len(lines)), PAPER)
    for place, line in enumerate(lines):
        shown = text.shorten(line, picture.width - 2 * _INSET, _LETTERS)
        colour = QUIET_INK if place else text.INK
        text.write(caption, shown, at=(_INSET, place * height), size=_LETTERS, colour=colour)
    return with_legend(picture, caption) if lines else picture
