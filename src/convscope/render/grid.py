"""Many pictures as one figure: labelled grids, and rows by columns."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

from PIL import Image, ImageDraw

from convscope.errors import ImageError
from convscope.render import text
from convscope.render.text import LINE, PAPER, QUIET_INK

MARGIN = 8
TITLE_SIZE = 15
LABEL_SIZE = 11

LABELLED_WIDTH = 40
"""Pixels below which a cell has no label of its own: the first of each row stands at its left."""

_LABEL_HEIGHT = text.line_height(LABEL_SIZE) + 2
_GUTTER_LIMIT = 160
_TITLE_LIMIT = 480
_ASPECT = 1.6
_PART_GAP = 6

_Item = TypeVar("_Item")


def grid(
    pictures: Sequence[Image.Image],
    *,
    labels: Sequence[str] | None = None,
    columns: int | None = None,
    title: str | None = None,
    cell: int | None = None,
) -> Image.Image:
    """Lay pictures out row by row, on white, each above its label.

    `cell` is the side of the square that each is fitted into: reduced, or enlarged by a whole factor so that its
    pixels stay squares; without it all keep their size. By default there are so many `columns` that the figure is
    about 1.6 times as wide as high and its last row full, where that can be. Labels that are too long end in an
    ellipsis; in cells narrower than 40 pixels only the first of each row is told. Raises `ImageError` for no
    pictures, or other than one label each.

    >>> grid([Image.new("RGB", (50, 30))] * 4, columns=2).size
    (124, 84)
    """
    return stack(title_strip(title), lay_out(pictures, labels=labels, columns=columns, cell=cell))


def lay_out(
    pictures: Sequence[Image.Image],
    *,
    labels: Sequence[str] | None = None,
    columns: int | None = None,
    cell: int | None = None,
) -> Image.Image:
    """Lay pictures out as `grid` does, without its margin and title."""
    if not pictures:
        raise ImageError("a grid of no pictures; expected one at least")
    if labels is not None and len(labels) != len(pictures):
        raise ImageError(f"{len(labels)} labels for {len(pictures)} pictures; expected one for each")
    fitted = [fit(each, cell) for each in pictures]
    across = _columns(fitted) if columns is None else columns
    if across < 1:
        raise ImageError(f"a grid of {across} columns; expected one at least")
    table = _chunks(fitted, across)
    beneath = [] if labels is None else _chunks(labels, across)
    if max(each.width for each in fitted) < LABELLED_WIDTH:
        return _table(table, beside=[row[0] for row in beneath])
    return _table(table, beneath=beneath)


def rows(
    rows: Sequence[tuple[str, Sequence[Image.Image]]],
    *,
    column_labels: Sequence[str] | None = None,
    title: str | None = None,
    note: str | None = None,
    cell: int | None = None,
) -> Image.Image:
    """Lay labelled rows of pictures one below the other, such as classes down and rules across, on white.

    `column_labels` stand above, one for each picture of the longest row; `note` is smaller lines below the title;
    `cell` as in `grid`. Raises `ImageError` for no pictures, or another number of column labels.

    >>> rows([("cat", [Image.new("RGB", (50, 30))]), ("dog", [Image.new("RGB", (50, 30))])]).height
    84
    """
    across = max((len(pictures) for _, pictures in rows), default=0)
    if across == 0:
        raise ImageError("rows of no pictures; expected one at least")
    if column_labels is not None and len(column_labels) != across:
        raise ImageError(f"{len(column_labels)} column labels for {across} columns; expected one for each")
    table = [[fit(each, cell) for each in pictures] for _, pictures in rows]
    body = _table(table, beside=[label for label, _ in rows], above=column_labels or ())
    notes = [title_strip(line, size=LABEL_SIZE, colour=QUIET_INK) for line in (note or "").splitlines()]
    return stack(title_strip(title), *notes, body)


def fit(picture: Image.Image, cell: int | None) -> Image.Image:
    """`picture` in RGB, fitted into a square of side `cell`: enlarged by a whole factor, or reduced smoothly."""
    picture = picture.convert("RGB")
    if cell is None:
        return picture
    height, width = fitted_size(picture.height, picture.width, cell)
    enlarged = width >= picture.width
    filter_ = Image.Resampling.NEAREST if enlarged else Image.Resampling.LANCZOS
    return picture if (width, height) == picture.size else picture.resize((width, height), filter_)


def fitted_size(height: int, width: int, cell: int) -> tuple[int, int]:
    """(height, width) that `fit` gives a picture. Raises `ImageError` where `cell` is no positive number.

    >>> fitted_size(7, 7, 30), fitted_size(300, 200, 30)
    ((28, 28), (30, 20))
    """
    if cell < 1:
        raise ImageError(f"cells of {cell} pixels; expected one at least")
    longer = max(height, width)
    if longer <= cell:
        return height * (cell // longer), width * (cell // longer)
    return max(1, round(height * cell / longer)), max(1, round(width * cell / longer))


def even_columns(count: int, *, proportion: float = 1.0) -> int:
    """How many columns make `count` cells a figure about 1.6 times as wide as high, full to the last row if it can be.

    `proportion` is a cell's height over its width.

    >>> [even_columns(count) for count in (1, 5, 16, 64, 96, 1280)]
    [1, 3, 4, 8, 12, 40]
    """
    ideal = min(float(count), math.sqrt(count * _ASPECT * proportion))
    full = [each for each in range(1, count + 1) if count % each == 0 and 0.75 * ideal <= each <= 1.25 * ideal]
    return min(full, key=lambda each: abs(each - ideal), default=math.ceil(ideal))


def _columns(pictures: Sequence[Image.Image]) -> int:
    width = max(each.width for each in pictures)
    height = max(each.height for each in pictures)
    return even_columns(len(pictures), proportion=height / width)


def title_strip(
    title: str | None, *, size: int = TITLE_SIZE, colour: tuple[int, int, int] = text.INK
) -> Image.Image | None:
    """One line of text as a picture, at most 480 pixels wide; nothing for nothing."""
    if not title:
        return None
    shown = text.shorten(title, _TITLE_LIMIT, size)
    strip = Image.new("RGB", (text.width(shown, size), text.line_height(size)), PAPER)
    text.write(strip, shown, at=(0, 0), size=size, colour=colour)
    return strip


def stack(*parts: Image.Image | None) -> Image.Image:
    """Pictures one below the other from the left edge, 6 pixels apart, on white with a margin of 8."""
    present = [each for each in parts if each]
    width = max(each.width for each in present)
    height = sum(each.height + _PART_GAP for each in present) - _PART_GAP
    sheet = Image.new("RGB", (width + 2 * MARGIN, height + 2 * MARGIN), PAPER)
    y = MARGIN
    for each in present:
        sheet.paste(each, (MARGIN, y))
        y += each.height + _PART_GAP
    return sheet


def _chunks(items: Sequence[_Item], size: int) -> list[Sequence[_Item]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


@dataclass(frozen=True)
class _Cells:
    """Where the cells of a table stand: as wide as its widest picture, as high as the highest of their row."""

    width: int
    heights: tuple[int, ...]
    gap: int
    left: int
    top: int
    beneath: int

    def x(self, column: int) -> int:
        """The left edge of a column."""
        return self.left + column * (self.width + self.gap)

    def y(self, row: int) -> int:
        """The upper edge of a row."""
        return self.top + sum(self.heights[:row]) + row * (self.beneath + self.gap)


def _table(
    table: Sequence[Sequence[Image.Image]],
    *,
    beneath: Sequence[Sequence[str]] = (),
    beside: Sequence[str] = (),
    above: Sequence[str] = (),
) -> Image.Image:
    """Pictures in columns of one width, with labels beneath each, beside rows, or above columns."""
    width = max(each.width for each in chain.from_iterable(table))
    gutter = min(_GUTTER_LIMIT, max((text.width(each, LABEL_SIZE) + 6 for each in beside), default=0))
    cells = _Cells(
        # Two pixels more, for the line around each picture.
        width=width + 2,
        heights=tuple(max((each.height + 2 for each in line), default=0) for line in table),
        # Tiny cells stand closer, or the gaps would be most of the figure.
        gap=4 if width >= LABELLED_WIDTH else 1,
        left=gutter,
        top=_LABEL_HEIGHT if above else 0,
        beneath=_LABEL_HEIGHT if beneath else 0,
    )
    sheet = Image.new("RGB", (cells.x(max(map(len, table))) - cells.gap, cells.y(len(table)) - cells.gap), PAPER)
    for row, line in enumerate(table):
        for column, picture in enumerate(line):
            x = cells.x(column) + (cells.width - picture.width) // 2
            _frame(sheet, picture, x=x, y=cells.y(row) + (cells.heights[row] - picture.height) // 2)
    for row, names in enumerate(beneath):
        for column, name in enumerate(names):
            _label(sheet, name, x=cells.x(column), y=cells.y(row) + cells.heights[row] + 1, room=cells.width)
    for column, name in enumerate(above):
        _label(sheet, name, x=cells.x(column), y=0, room=cells.width)
    for row, name in enumerate(beside):
        y = cells.y(row) + (cells.heights[row] - text.line_height(LABEL_SIZE)) // 2
        shown = text.shorten(name, gutter - 6, LABEL_SIZE)
        text.write(sheet, shown, at=(gutter - 6, y), size=LABEL_SIZE, colour=QUIET_INK, align="right")
    return sheet


def _frame(sheet: Image.Image, picture: Image.Image, *, x: int, y: int) -> None:
    """Paste a picture with a thin line around it: near-white maps need an edge."""
    outline = (x - 1, y - 1, x + picture.width, y + picture.height)
    ImageDraw.Draw(sheet).rectangle(outline, outline=LINE)
    sheet.paste(picture, (x, y))


def _label(sheet: Image.Image, label: str, *, x: int, y: int, room: int) -> None:
    shown = text.shorten(label, room, LABEL_SIZE)
    text.write(sheet, shown, at=(x + room // 2, y), size=LABEL_SIZE, colour=QUIET_INK, align="centre")
