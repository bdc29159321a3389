"""Curves: numbers over numbers as a chart, with axes, bands and a legend."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from convscope.errors import ImageError
from convscope.render import text
from convscope.render.colours import to_array
from convscope.render.text import INK, LINE, PAPER, QUIET_INK

Colour = tuple[int, int, int]

PALETTE: tuple[Colour, ...] = (
    (0, 98, 178), (206, 82, 0), (0, 136, 96), (158, 71, 160), (122, 96, 0), (60, 165, 195),
    (222, 82, 140), (60, 60, 66),
)  # fmt: skip
"""Colours of lines in turn, told apart by the colour-blind too: they differ in lightness as well as in hue."""

QUIET: Colour = (150, 156, 163)
"""For what the others are compared with."""

_LETTERS = 11
_TITLE = 13
_PAD = 8
_SHARPNESS = 3
"""Pillow draws jagged lines: they are drawn this much larger, then reduced."""


@dataclass(frozen=True)
class Curve:
    """One line through the points `x`, `y` (n,); `low` and `high` (n,) bound a band around it. NaN is a gap."""

    label: str
    x: Any
    y: Any
    low: Any = None
    high: Any = None
    colour: Colour | None = None


def curves(
    lines: Sequence[Curve],
    *,
    x_label: str = "",
    y_label: str = "",
    title: str = "",
    size: tuple[int, int] = (240, 320),
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    x_ticks: Sequence[tuple[float, str]] | None = None,
) -> Image.Image:
    """Draw lines over common axes on white, `size` (height, width) pixels, with the legend below.

    The ranges are by default what the numbers need; `y_label` stands above the axis, upright; `x_ticks` replaces the
    numbers of that axis by words at places. Raises `ImageError` for no line, or for no number to draw.

    >>> curves([Curve("probability", [0.0, 0.5, 1.0], [0.9, 0.2, 0.1])]).size[0]
    320
    """
    if not lines:
        raise ImageError("a chart of no lines; expected one at least")
    drawn = [_numbers(line) for line in lines]
    axes = _axes(drawn, size, title, x_label, y_label, x_range, y_range)
    picture = Image.new("RGB", (size[1], size[0]), PAPER)
    _draw_grid(picture, axes, x_ticks)
    palette = [line.colour or PALETTE[index % len(PALETTE)] for index, line in enumerate(lines)]
    picture = _draw_lines(picture, axes, drawn, palette)
    _write_labels(picture, axes, title, x_label, y_label)
    legend = _legend([line.label for line in lines], palette, size[1])
    sheet = Image.new("RGB", (picture.width, picture.height + legend.height), PAPER)
    sheet.paste(picture, (0, 0))
    sheet.paste(legend, (0, picture.height))
    return sheet


_Numbers = dict[str, NDArray[np.float64]]


def _numbers(line: Curve) -> _Numbers:
    given = {"x": line.x, "y": line.y, "low": line.low, "high": line.high}
    arrays = {name: to_array(values) for name, values in given.items() if values is not None}
    if any(each.ndim != 1 or each.shape != arrays["x"].shape for each in arrays.values()):
        shapes = ", ".join(f"{name} {each.shape}" for name, each in arrays.items())
        raise ImageError(f"the line {line.label!r} has {shapes}; expected as many numbers in each")
    return arrays


@dataclass(frozen=True)
class _Axes:
    """The rectangle of the chart in pixels, and the numbers at its edges."""

    left: int
    top: int
    right: int
    bottom: int
    x: tuple[float, float]
    y: tuple[float, float]

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Where a point lies, in pixels."""
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        return self.left + across * (self.right - self.left), self.bottom - up * (self.bottom - self.top)


def _axes(
    drawn: Sequence[_Numbers],
    size: tuple[int, int],
    title: str,
    x_label: str,
    y_label: str,
    x_range: tuple[float, float] | None,
    y_range: tuple[float, float] | None,
) -> _Axes:
    x = x_range or _range([line["x"] for line in drawn])
    y = y_range or _range([line[name] for line in drawn for name in ("y", "low", "high") if name in line])
    numbers = max(text.width(text.number(each), _LETTERS) for each in ticks(*y))
    line = text.line_height(_LETTERS)
    return _Axes(
        left=_PAD + numbers + 6,
        top=_PAD + (text.line_height(_TITLE) + 2 if title else 0) + (line + 2 if y_label else line // 2),
        right=size[1] - 2 * _PAD,
        bottom=size[0] - _PAD - line - (line if x_label else 0),
        x=x,
        y=y,
    )


def _range(arrays: Sequence[NDArray[np.float64]]) -> tuple[float, float]:
    values = np.concatenate([each.ravel() for each in arrays])
    values = values[np.isfinite(values)]
    if not values.size:
        raise ImageError("a chart of no numbers: all are NaN or infinite")
    low, high = float(values.min()), float(values.max())
    room = (high - low) or abs(high) or 1.0
    return low - (0.05 * room), high + 0.05 * room


def ticks(low: float, high: float, *, most: int = 6) -> list[float]:
    """Round numbers from `low` to `high`, at most so many, in steps of 1, 2 or 5 times a power of ten.

    >>> ticks(0, 1), ticks(-3.2, 12)
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [0.0, 5.0, 10.0])
    """
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(
        step for step in (power, 2 * power, 5 * power, 10 * power, 20 * power) if (high - low) / step < most - 1e-8
    )
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def _draw_grid(picture: Image.Image, axes: _Axes, x_ticks: Sequence[tuple[float, str]] | None) -> None:
    draw = ImageDraw.Draw(picture)
    for value in ticks(*axes.y):
        _, y = axes.place(axes.x[0], value)
        draw.line((axes.left, round(y), axes.right, round(y)), fill=LINE)
        at = (axes.left - 6, round(y) - text.line_height(_LETTERS) // 2)
        text.write(picture, text.number(value), at=at, size=_LETTERS, colour=QUIET_INK, align="right")
    if x_ticks is None:
        x_ticks = [(each, text.number(each)) for each in ticks(*axes.x)]
    for value, words in x_ticks:
        x, _ = axes.place(value, axes.y[0])
        draw.line((round(x), axes.bottom, round(x), axes.bottom + 3), fill=QUIET_INK)
        text.write(picture, words, at=(round(x), axes.bottom + 4), size=_LETTERS, colour=QUIET_INK, align="centre")
    draw.line((axes.left, axes.bottom, axes.right, axes.bottom), fill=QUIET_INK)


def _draw_lines(picture: Image.Image, axes: _Axes, drawn: Sequence[_Numbers], palette: Sequence[Colour]) -> Image.Image:
    """The picture with bands and lines on it; the first line is drawn last, on top."""
    large = picture.resize((picture.width * _SHARPNESS, picture.height * _SHARPNESS), Image.Resampling.NEAREST)
    for line, colour in reversed(list(zip(drawn, palette, strict=True))):
        if "low" in line and "high" in line:
            edge = [*zip(line["x"], line["low"], strict=True), *zip(line["x"][::-1], line["high"][::-1], strict=True)]
            edge = [(x, y) for x, y in edge if math.isfinite(x) and math.isfinite(y)]
            _shade(large, [_scaled(axes, x, y) for x, y in edge], colour)
        draw = ImageDraw.Draw(large)
        for stretch in _stretches(line["x"], line["y"]):
            points = [_scaled(axes, x, y) for x, y in stretch]
            draw.line(points, fill=colour, width=2 * _SHARPNESS, joint="curve")
            if len(points) <= 12:
                for x, y in points:
                    draw.ellipse((x - 6, y - 6, x + 6, y + 6), fill=colour)
    lined = large.resize(picture.size, Image.Resampling.BOX)
    # Letters and ticks keep the sharpness they were drawn with.
    picture.paste(lined.crop((axes.left - 3, 0, picture.width, axes.bottom)), (axes.left - 3, 0))
    return picture


def _scaled(axes: _Axes, x: float, y: float) -> tuple[float, float]:
    across, down = axes.place(float(x), float(y))
    return (across + 0.5) * _SHARPNESS, (down + 0.5) * _SHARPNESS


def _stretches(x: NDArray[np.float64], y: NDArray[np.float64]) -> list[list[tuple[float, float]]]:
    """The points between gaps."""
    found: list[list[tuple[float, float]]] = [[]]
    for one, other in zip(x.tolist(), y.tolist(), strict=True):
        if math.isfinite(one) and math.isfinite(other):
            found[-1].append((one, other))
        elif found[-1]:
            found.append([])
    return [each for each in found if each]


def _shade(picture: Image.Image, corners: Sequence[tuple[float, float]], colour: Colour) -> None:
    if len(corners) < 3:
        return
    mask = Image.new("L", picture.size)
    ImageDraw.Draw(mask).polygon(corners, fill=48)
    picture.paste(Image.new("RGB", picture.size, colour), mask=mask)


def _write_labels(picture: Image.Image, axes: _Axes, title: str, x_label: str, y_label: str) -> None:
    if title:
        shown = text.shorten(title, picture.width - 2 * _PAD, _TITLE)
        text.write(picture, shown, at=(_PAD, _PAD), size=_TITLE)
    line = text.line_height(_LETTERS)
    text.write(picture, y_label, at=(_PAD, axes.top - line - 3), size=_LETTERS, colour=QUIET_INK)
    middle = (axes.left + axes.right) // 2
    text.write(picture, x_label, at=(middle, axes.bottom + 3 + line), size=_LETTERS, colour=QUIET_INK, align="centre")


def _legend(labels: Sequence[str], palette: Sequence[Colour], width: int) -> Image.Image:
    """A row of a stroke and its name for each line."""
    line = text.line_height(_LETTERS)
    legend = Image.new("RGB", (width, len(labels) * line + _PAD), PAPER)
    for row, (label, colour) in enumerate(zip(labels, palette, strict=True)):
        middle = row * line + line // 2
        ImageDraw.Draw(legend).rectangle((_PAD, middle - 1, _PAD + 14, middle), fill=colour)
        shown = text.shorten(label, width - 3 * _PAD - 14, _LETTERS)
        text.write(legend, shown, at=(_PAD + 20, row * line), size=_LETTERS, colour=INK)
    return legend
