"""What one unit of a layer sees, cut out of the photograph at its full resolution."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from PIL import Image, ImageDraw

from convscope.errors import ImageError
from convscope.image.resize import Box, Placement, Size, place
from convscope.network.geometry import ReceptiveField
from convscope.network.network import Network
from convscope.render import text

UNSEEN = (228, 231, 235)
"""What a tile shows where the unit sees nothing: beyond the picture's edges, and on padding."""

_SMALLEST_MARK = 5
_LETTERS = 11


@dataclass(frozen=True)
class View:
    """How the units of one layer look at the network's input.

    Tiles `span` each unit's receptive field, so that all tiles of a layer have the same scale; or the whole input where
    `whole`, because the field is as large as that or can't be told. `gated` says that numbers for the whole map scale
    it, too (see `Layer.direct_field`), which the field leaves aside. Boxes are top, left, bottom, right in pixels of
    the input, the last two exclusive.
    """

    input_size: Size
    shape: tuple[int, ...]
    field: ReceptiveField | None
    gated: bool = False

    @classmethod
    def of(cls, network: Network, layer: str) -> "View":
        """That of a layer by its name. Raises LayerError if the network has none of that name."""
        found = network.layers[layer]
        gated = found.direct_field != found.receptive_field
        return cls(network.input_size, found.shape, found.direct_field, gated)

    @property
    def has_space(self) -> bool:
        """Whether its units have places."""
        return len(self.shape) == 3

    @property
    def whole(self) -> bool:
        """Whether tiles show the whole input, with a frame at the unit's place."""
        if self.field is None or self.field.whole:
            return True
        return any(size >= side for size, side in zip(self.field.size, self.input_size, strict=True))

    @property
    def note(self) -> str:
        """What a viewer must know of the tiles, in words."""
        rows, columns = self.input_size
        gates = "; what it sees is scaled by numbers from all of the picture" if self.gated else ""
        if not self.whole and self.field is not None:
            return f"each unit sees {self.field} of {rows}×{columns} pixels{gates}"
        frame = "; the frame marks its place" if self.has_space else ""
        if self.field is None:
            return f"how far a unit sees can't be told, so all that the network sees is shown{frame}"
        if self.field.whole:
            return f"each unit sees all of the picture{frame}"
        if self._all_seen:
            return f"each unit sees all {rows}×{columns} pixels (it reaches {self.field}){frame}{gates}"
        return f"each unit sees {self.field} pixels around its place, the frame; grey is what it doesn't see{gates}"

    @property
    def _all_seen(self) -> bool:
        """Whether even the units in the corners see all of the input."""
        corners = ((row, column) for row in (0, self.shape[1] - 1) for column in (0, self.shape[2] - 1))
        return not self.has_space or all(self.seen(*corner) == (0, 0, *self.input_size) for corner in corners)

    def span(self, row: int, column: int) -> Box:
        """The part of the input that a unit's tile shows; it may begin and end outside of it."""
        if self.whole or self.field is None:
            return 0, 0, *self.input_size
        (top, bottom), (left, right) = (
            sight.window.reads(unit, unit) for sight, unit in ((self.field.rows, row), (self.field.columns, column))
        )
        return top, left, bottom + 1, right + 1

    def seen(self, row: int, column: int) -> Box:
        """The pixels of the input that a unit sees."""
        if self.field is None or self.field.whole or not self.has_space:
            return 0, 0, *self.input_size
        return self.field.box(row, column)

    def mark(self, row: int, column: int) -> Box | None:
        """Where a unit stands on the input, as large as the step to its neighbours; None where a tile needs no mark."""
        if not self.whole or not self.has_space:
            return None
        sides = [self._cell(axis, unit) for axis, unit in enumerate((row, column))]
        (top, bottom), (left, right) = sides
        return top, left, bottom, right

    def _cell(self, axis: int, unit: int) -> tuple[int, int]:
        length, count = self.input_size[axis], self.shape[1 + axis]
        stride, middle = Fraction(length, count), Fraction(length * (2 * unit + 1), 2 * count)
        if self.field is not None and not self.field.whole:
            window = (self.field.rows, self.field.columns)[axis].window
            stride = Fraction(window.stride)
            middle = unit * stride + Fraction(window.start) + Fraction(window.reach + 1) / 2
        first = min(max(math.floor(middle - stride / 2), 0), length - 1)
        return first, max(first + 1, min(math.ceil(middle + stride / 2), length))


def placement_of(network: Network, size: Size) -> Placement:
    """Where a picture of `size` (rows, columns) lies on the network's input once it is prepared."""
    if tuple(size) == network.input_size:
        return Placement(size, size, (0, 0))
    return place(size, network.input_size, fit=network.fit, crop_fraction=network.crop_fraction)


@dataclass(frozen=True)
class Cut:
    """Which part of a picture a unit's tile shows, and where on the tile.

    `size` is the tile's width and height; `shown` the part of the input that is seen, of the picture and by the unit,
    None where there is none; `at` its left, top, right and bottom on the tile.
    """

    size: Size
    placement: Placement
    shown: Box | None
    at: Box

    @classmethod
    def of(cls, view: View, unit: tuple[int, int], placement: Placement, *, cell: int) -> "Cut":
        """That of the unit at (row, column) in a picture that lies on the input as `placement`; its longer side `cell`.

        What the unit sees keeps its place: it is smaller than the tile where its field ends at the picture's edge.
        """
        top, left, bottom, right = span = view.span(*unit)
        scale = Fraction(cell, max(bottom - top, right - left))
        size = max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
        shown = _common(view.seen(*unit), placement.seen)
        return cls(size, placement, shown, on_tile(shown or span, span, scale, size))

    def scaled(self, picture: Image.Image) -> Image.Image:
        """What is shown of a picture, as large as it is on the tile; smooth where it is enlarged."""
        if self.shown is None:
            raise ImageError("a unit that sees nothing of the picture has no part of it to show")
        top, left, bottom, right = self.placement.original_box(self.shown)
        # Cut out first: a filter would also read pixels beside the box, which the unit doesn't see.
        part = picture.crop((left, top, right, bottom))
        (upper, lower), (first, last) = (
            [float(self.placement.back(edge, axis) - start) for edge in (self.shown[axis], self.shown[axis + 2])]
            for axis, start in ((0, top), (1, left))
        )
        width, height = self.at[2] - self.at[0], self.at[3] - self.at[1]
        filter_ = Image.Resampling.LANCZOS if width < last - first else Image.Resampling.BICUBIC
        return part.resize((width, height), filter_, box=(first, upper, last, lower))

    def pasted(self, part: Image.Image | None) -> Image.Image:
        """The tile, grey but for the `part` shown."""
        tile = Image.new("RGB", self.size, UNSEEN)
        if part is not None:
            tile.paste(part, self.at[:2])
        return tile


def crop(picture: Image.Image, placement: Placement, view: View, unit: tuple[int, int], *, cell: int) -> Image.Image:
    """A unit's tile, its longer side `cell` pixels: what it sees of a picture that lies on the input as `placement`."""
    cut = Cut.of(view, unit, placement, cell=cell)
    tile = cut.pasted(cut.scaled(picture.convert("RGB")) if cut.shown else None)
    mark = view.mark(*unit)
    if mark is not None:
        span = view.span(*unit)
        _frame(tile, on_tile(mark, span, Fraction(cell, max(span[2] - span[0], span[3] - span[1])), tile.size))
    return tile


def _common(one: Box, other: Box) -> Box | None:
    top, left = max(one[0], other[0]), max(one[1], other[1])
    bottom, right = min(one[2], other[2]), min(one[3], other[3])
    return (top, left, bottom, right) if top < bottom and left < right else None


def on_tile(box: Box, span: Box, scale: Fraction, size: Size) -> Box:
    """A box of the input as left, top, right, bottom on the tile, one pixel wide and high at least."""
    edges = []
    for axis, side in ((1, size[0]), (0, size[1])):
        first = min(round((box[axis] - span[axis]) * scale), side - 1)
        edges.append((first, min(max(round((box[axis + 2] - span[axis]) * scale), first + 1), side)))
    (left, right), (top, bottom) = edges
    return left, top, right, bottom


def _frame(tile: Image.Image, box: Box) -> None:
    """Two lines, white around black, that stand out from any picture."""
    left, top, right, bottom = box
    wider, higher = (max(0, _SMALLEST_MARK - side) for side in (right - left, bottom - top))
    left, top = left - wider // 2, top - higher // 2
    right, bottom = right + (wider + 1) // 2, bottom + (higher + 1) // 2
    draw = ImageDraw.Draw(tile)
    draw.rectangle((left - 1, top - 1, right, bottom), outline="white")
    draw.rectangle((left, top, right - 1, bottom - 1), outline="black")


def worded(size: Size, lines: Sequence[str]) -> Image.Image:
    """A grey tile of `size` (width, height) with words on it, cut where they are too long."""
    tile = Image.new("RGB", size, UNSEEN)
    for line, words in enumerate(lines):
        shown = text.shorten(words, tile.width - 4, _LETTERS)
        text.write(tile, shown, at=(2, 2 + line * text.line_height(_LETTERS)), size=_LETTERS, colour=text.QUIET_INK)
    return tile
