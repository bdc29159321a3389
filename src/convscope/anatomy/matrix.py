"""Matrices of numbers, drawn as on a blackboard."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw
from torch import Tensor

from convscope.render import text
from convscope.render.text import INK, LINE, PAPER, QUIET_INK

Colour = tuple[int, int, int]

AMBER: Colour = (191, 110, 0)
"""What is read."""

BLUE: Colour = (9, 95, 190)
"""What is written."""

_CAPTION = 13
_GAP = 14
_EDGE = 2


@dataclass(frozen=True)
class Mark:
    """Cells of a matrix, framed and tinted; `rows` and `columns` past the last one are what is marked."""

    top: int
    left: int
    rows: int
    columns: int
    colour: Colour

    def __contains__(self, place: tuple[int, int]) -> bool:
        row, column = place
        return self.top <= row < self.top + self.rows and self.left <= column < self.left + self.columns


def matrix(
    values: Tensor,
    *,
    cell: int = 40,
    mark: Mark | None = None,
    corners: Tensor | None = None,
    quiet: Tensor | None = None,
    hidden: Tensor | None = None,
    colours: Tensor | None = None,
) -> Image.Image:
    """Draw numbers (H, W) in square cells of `cell` pixels.

    `corners` (of the mark's size) are written small in the corners of the marked cells: what each is multiplied with.
    `quiet` (H, W) greys cells, as padding; `hidden` (H, W) leaves them empty. `colours` (H, W, 3), 0 to 255, fill them.
    """
    height, width = values.shape
    picture = Image.new("RGB", (width * cell + 2 * _EDGE + 1, height * cell + 2 * _EDGE + 1), PAPER)
    draw = ImageDraw.Draw(picture)
    for row in range(height):
        for column in range(width):
            box = _box(row, column, 1, 1, cell)
            greyed = quiet is not None and bool(quiet[row, column])
            fill = (246, 248, 250) if greyed else PAPER
            if colours is not None:
                red, green, blue = colours[row, column].tolist()
                fill = (red, green, blue)
            if mark and (row, column) in mark:
                fill = tint(mark.colour)
            draw.rectangle(box, fill=fill, outline=LINE)
            if hidden is None or not hidden[row, column]:
                ink = QUIET_INK if greyed else _legible_on(fill)
                _number(picture, values[row, column].item(), box=box, cell=cell, ink=ink)
    if mark:
        _mark(picture, mark, corners, cell=cell)
    return picture


def captioned(picture: Image.Image, caption: str) -> Image.Image:
    """`picture` with a line of text above it and as much room below, so that its middle stays in the middle."""
    line = text.line_height(_CAPTION) + 4
    width = max(picture.width, text.width(caption, _CAPTION))
    sheet = Image.new("RGB", (width, picture.height + 2 * line), PAPER)
    text.write(sheet, caption, at=(width // 2, 0), size=_CAPTION, colour=QUIET_INK, align="centre")
    sheet.paste(picture, ((width - picture.width) // 2, line))
    return sheet


def words(written: str, *, size: int = 13, colour: Colour = INK) -> Image.Image:
    """A line of text, however long."""
    sheet = Image.new("RGB", (text.width(written, size), text.line_height(size)), PAPER)
    text.write(sheet, written, at=(0, 0), size=size, colour=colour)
    return sheet


def sign(symbol: str) -> Image.Image:
    """A sign that stands between two matrices."""
    return words(symbol, size=30, colour=QUIET_INK)


def arrow(word: str) -> Image.Image:
    """An arrow to the right that says what happens on the way."""
    above = text.line_height(_CAPTION)
    width = text.width(word, _CAPTION) + 16
    # As high below the line as above it, so that the arrow itself points at the middle of what follows.
    sheet = Image.new("RGB", (width, 2 * above + 8), PAPER)
    text.write(sheet, word, at=(width // 2 - 3, 0), size=_CAPTION, colour=QUIET_INK, align="centre")
    draw = ImageDraw.Draw(sheet)
    middle, tip = above + 4, width - 1
    draw.line((0, middle, tip - 4, middle), fill=QUIET_INK, width=2)
    draw.polygon([(tip - 8, middle - 5), (tip, middle), (tip - 8, middle + 5)], fill=QUIET_INK)
    return sheet


def side_by_side(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures from left to right, centred on one line, on white."""
    height = max(each.height for each in pictures)
    width = sum(each.width for each in pictures) + _GAP * (len(pictures) - 1)
    sheet = Image.new("RGB", (width, height), PAPER)
    x = 0
    for each in pictures:
        sheet.paste(each, (x, (height - each.height) // 2))
        x += each.width + _GAP
    return sheet


def tint(colour: Colour) -> Colour:
    """A light shade of a colour, as a ground for numbers."""
    red, green, blue = (round(255 - 0.22 * (255 - each)) for each in colour)
    return red, green, blue


def _box(row: int, column: int, rows: int, columns: int, cell: int) -> tuple[int, int, int, int]:
    left, top = _EDGE + column * cell, _EDGE + row * cell
    return left, top, left + columns * cell, top + rows * cell


def _number(picture: Image.Image, value: float, *, box: tuple[int, int, int, int], cell: int, ink: Colour) -> None:
    written = text.number(value)
    fitting = (size for size in range(round(cell * 0.45), 6, -1) if text.width(written, size) <= cell - 4)
    size = next(fitting, 6)
    middle = (box[0] + box[2]) // 2 + 1
    text.write(
        picture,
        written,
        at=(middle, box[1] + (cell - text.line_height(size)) // 2),
        size=size,
        colour=ink,
        align="centre",
    )


def _mark(picture: Image.Image, mark: Mark, corners: Tensor | None, *, cell: int) -> None:
    draw = ImageDraw.Draw(picture)
    left, top, right, bottom = _box(mark.top, mark.left, mark.rows, mark.columns, cell)
    draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=mark.colour, width=3)
    if corners is None:
        return
    size = max(7, round(cell * 0.25))
    for row in range(mark.rows):
        for column in range(mark.columns):
            _, _, x, y = _box(mark.top + row, mark.left + column, 1, 1, cell)
            written = "×" + text.number(corners[row, column].item())
            at = (x - 4, y - text.line_height(size) - 1)
            text.write(picture, written, at=at, size=size, colour=mark.colour, align="right")


def _legible_on(fill: Colour) -> Colour:
    red, green, blue = fill
    return INK if 0.3 * red + 0.59 * green + 0.11 * blue > 110 else PAPER
