"""Drawing maps: what stands where, and any rectangle of it, so that a map can be drawn strip by strip."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from convscope.render import text
from convscope.render.text import INK, PAPER
from convscope.scanning.layout import Places, stacking

Box = tuple[int, int, int, int]
"""Left, upper, right and lower edge in pixels."""

Mark = Sequence[Any]
"""(x, y, name) of a place to point out, in [0, 1]."""

_COVER, _LOOSE = 0.6, 0.25
"""By this much of a map its pictures would lie if none were over another; the second is of one to zoom into."""
_SHOWN = 0.9
"""The share of the pictures that should be drawn, for which they are made smaller to half their size."""
_DOTS = 0.35
"""How wide a dot is, in shares of the mean distance of images."""


@dataclass(frozen=True)
class Scene:
    """Squares on a sheet of `width` × `height` pixels, all of one `side`, the lowest first.

    `rows` (m,) of the map are drawn at `left`, `top` (m,) by `square`, which gives the picture for a row. The sheet is
    cut from one of `full` (width, height) pixels, `cut` of them from its left and upper edge; `margin` are left free
    around all squares.
    """

    width: int
    height: int
    side: int
    rows: NDArray[np.int64]
    left: NDArray[np.int64]
    top: NDArray[np.int64]
    square: Callable[[int], Image.Image]
    full: tuple[int, int]
    cut: tuple[int, int] = (0, 0)
    margin: int = 0

    def draw(self, box: Box | None = None) -> Image.Image:
        """What lies in a box of the sheet; all of it by default."""
        left, upper, right, lower = box or (0, 0, self.width, self.height)
        sheet = Image.new("RGB", (right - left, lower - upper), PAPER)
        across = (self.left < right) & (self.left + self.side > left)
        for at in np.flatnonzero(across & (self.top < lower) & (self.top + self.side > upper)):
            square = self.square(int(self.rows[at]))
            corner = (int(self.left[at]) - left, int(self.top[at]) - upper)
            sheet.paste(square, corner, square if square.mode == "RGBA" else None)
        return sheet

    def spot(self, place: Sequence[float]) -> tuple[int, int]:
        """Where a place in [0, 1] lies on the sheet, in pixels; at its edge if it was cut off."""
        x, y = (
            int(_inner(full, self.side, self.margin, np.array(at))) + self.side // 2 - cut
            for full, cut, at in zip(self.full, self.cut, place, strict=True)
        )
        return min(max(x, 0), self.width - 1), min(max(y, 0), self.height - 1)


def picture_side(places: Places, size: int) -> int:
    """Pixels of a picture where they are scattered over a square of `size`: smaller where they lie in heaps."""
    largest = max(8, min(round(size * math.sqrt(_COVER / len(places))), size // 6))
    for share in (1.0, 0.8, 0.65):
        side = max(8, round(largest * share))
        if len(stacking(places, side / (size - side))) >= _SHOWN * len(places):
            return side
    return max(8, largest // 2)


def scattered_size(count: int, side: int) -> int:
    """Pixels of the square over which so many pictures of that side are scattered."""
    return max(2 * side, math.ceil(side * math.sqrt(count / _LOOSE)))


def dot_side(count: int, size: int) -> int:
    """Pixels of a dot where there are so many."""
    return max(3, min(round(size * _DOTS / math.sqrt(count)), size // 40))


def scattered(places: Places, size: int, side: int, square: Callable[[int], Image.Image]) -> Scene:
    """Pictures around their places (n, 2) on a square sheet; some hide others, see `stacking`."""
    rows = stacking(places, side / max(1, size - side - 2 * _margin(side)))
    return _placed(places, rows, size, side, square)


def dotted(places: Places, size: int, side: int, square: Callable[[int], Image.Image], seed: int) -> Scene:
    """Dots at their places, all of them, in random order: or the last class would hide the others."""
    rows = np.random.default_rng(seed).permutation(len(places))
    return _placed(places, rows, size, side, square)


def gridded(cells: NDArray[np.int64], side: int, square: Callable[[int], Image.Image]) -> Scene:
    """Pictures in their cells (n, 2), edge to edge."""
    rows, columns = (cells.max(axis=0) + 1).tolist()
    order = np.arange(len(cells))
    size = (columns * side, rows * side)
    return Scene(*size, side, order, cells[:, 1] * side, cells[:, 0] * side, square, size)


def _placed(
    places: Places, rows: NDArray[np.int64], size: int, side: int, square: Callable[[int], Image.Image]
) -> Scene:
    margin = _margin(side)
    corners = _inner(size, side, margin, places[rows])
    # What is empty all along an edge is cut off.
    cut = corners.min(axis=0) - margin
    width, height = (corners.max(axis=0) - cut + side + margin).tolist()
    left, top = (corners - cut).T
    return Scene(width, height, side, rows, left, top, square, (size, size), (int(cut[0]), int(cut[1])), margin)


def _margin(side: int) -> int:
    """Pixels that stay free along the edges around squares of a side."""
    return max(4, side // 8)


def _inner(extent: int, side: int, margin: int, places: NDArray[Any]) -> NDArray[np.int64]:
    """The upper or left edge of squares around places, such that all are on the sheet."""
    found: NDArray[np.int64] = margin + np.rint(places * (extent - side - 2 * margin)).astype(np.int64)
    return found


def write_names(sheet: Image.Image, names: Sequence[tuple[str, tuple[int, int]]]) -> None:
    """Names around spots of a sheet, on a bright ground that lets the map through; none over one before it."""
    size = max(13, sheet.width // 64)
    line = text.line_height(size)
    written: list[Box] = []
    for name, (x, y) in names:
        shown = text.shorten(name, sheet.width // 4, size)
        half = text.width(shown, size) // 2 + 4
        x = min(max(x, half), sheet.width - half)
        y = min(max(y, line), sheet.height - line)
        box = (x - half, y - line // 2, x + half, y + line // 2)
        if any(
            box[0] < right and box[2] > left and box[1] < bottom and box[3] > top
            for left, top, right, bottom in written
        ):
            continue
        written.append(box)
        ground = Image.new("L", (box[2] - box[0], box[3] - box[1]))
        ImageDraw.Draw(ground).rounded_rectangle((0, 0, ground.width - 1, ground.height - 1), 4, fill=210)
        sheet.paste(PAPER, box, ground)
        text.write(sheet, shown, at=(x, box[1]), size=size, colour=INK, align="centre")


def write_marks(sheet: Image.Image, scene: Scene, marks: Sequence[Mark]) -> None:
    """A ring around each place, its name beside it."""
    draw = ImageDraw.Draw(sheet)
    radius = max(10, sheet.width // 100)
    for x, y, _ in marks:
        spot = scene.spot((x, y))
        for grown, colour in ((2, PAPER), (0, INK), (-3, PAPER)):
            ring = (
                spot[0] - radius - grown,
                spot[1] - radius - grown,
                spot[0] + radius + grown,
                spot[1] + radius + grown,
            )
            draw.ellipse(ring, outline=colour, width=3)
    line = radius + text.line_height(max(13, sheet.width // 64))
    spots = [(str(name), scene.spot((x, y))) for x, y, name in marks]
    write_names(sheet, [(name, (x, y + line if y + 2 * line < sheet.height else y - line)) for name, (x, y) in spots])
