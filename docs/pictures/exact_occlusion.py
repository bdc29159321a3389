"""Draws the pictures of `docs/exact-occlusion.md` from the engine itself: `python -m docs.pictures.exact_occlusion`."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

import convscope as cs
from convscope.attribution.incremental import Incremental
from convscope.attribution.occluder import Windows
from convscope.attribution.patches import Batch, Clean, Patches, Span
from convscope.attribution.spread import Spread, Track
from convscope.image.write import to_picture
from convscope.network.engine import lean
from convscope.network.geometry import Window
from convscope.network.trace import Ref
from convscope.render.colours import DIVERGING
from convscope.render.text import INK, LINE, PAPER, QUIET_INK, write

HERE = Path(__file__).parent
# Pictures are drawn at twice the size at which the page shows them.
TWICE = 2
Colour = tuple[int, int, int]


def diverging(position: float) -> Colour:
    """A colour of the signed map, `position` in [−1, 1]."""
    red, green, blue = DIVERGING[round((position + 1) / 2 * 255)].tolist()
    return red, green, blue


CLEAN, CHANGED, OTHER = diverging(-0.06), diverging(0.62), diverging(-0.62)
# Padding, and whatever only separates.
EMPTY: Colour = (232, 235, 238)


class Sheet:
    """A picture that is drawn in the page's pixels."""

    def __init__(self, width: int, height: int) -> None:
        self.picture = Image.new("RGB", (width * TWICE, height * TWICE), PAPER)
        self._draw = ImageDraw.Draw(self.picture)

    def box(self, x: float, y: float, width: float, height: float, fill: Colour, line: Colour | None = None) -> None:
        """A filled rectangle, its line inside it."""
        corners = [round(value * TWICE) for value in (x, y, x + width, y + height)]
        self._draw.rectangle((corners[0], corners[1], corners[2] - 1, corners[3] - 1), fill=fill, outline=line)

    def line(self, points: Sequence[tuple[float, float]], colour: Colour, width: float = 1) -> None:
        self._draw.line([(x * TWICE, y * TWICE) for x, y in points], colour, round(width * TWICE), joint="curve")

    def arrow(self, x: float, y: float, length: float, colour: Colour = QUIET_INK) -> None:
        """An arrow to the right."""
        self.line([(x, y), (x + length - 4, y)], colour, 1.5)
        tip = [(x + length, y), (x + length - 7, y - 4), (x + length - 7, y + 4)]
        self._draw.polygon([(across * TWICE, down * TWICE) for across, down in tip], fill=colour)

    def text(self, x: float, y: float, text: str, *, size: int = 12, colour: Colour = INK, align: str = "left") -> None:
        write(
            self.picture, text, at=(round(x * TWICE), round(y * TWICE)), size=size * TWICE, colour=colour, align=align
        )

    def paste(self, picture: Image.Image, x: float, y: float, side: int) -> None:
        fitted = picture.resize((side * TWICE, side * TWICE), Image.Resampling.LANCZOS)
        self.picture.paste(fitted, (round(x * TWICE), round(y * TWICE)))

    def save(self, name: str) -> None:
        self.picture.save(HERE / name, optimize=True)


# The rectangle grows -------------------------------------------------------------------------------------------------

LAYERS = ("stem.norm", "blocks.2", "blocks.4", "blocks.7", "blocks.12")
WINDOW, STRIDE, PLACE = 16, 8, 12


def growing() -> None:
    """One window of the occluder through five layers of the default network, and how much of each it changes."""
    network = cs.load("efficientnet-lite0")
    image = network.read("chelsea")
    windows = Windows.over(image, WINDOW, STRIDE)
    top, left, bottom, right = windows.box(PLACE, PLACE)
    covered = image.clone()
    covered[:, top:bottom, left:right] = 0.5
    incremental, names = _incremental(network, windows, image)
    before, after = (network.capture(each, list(LAYERS)) for each in (image, covered))
    side, gap, margin = 132, 26, 12
    sheet = Sheet(2 * margin + 6 * side + 5 * gap, 222)
    sheet.paste(to_picture(covered), margin, 8, side)
    _captions(sheet, margin, side, ["the image", "224 x 224 pixels", "16 x 16 covered", f"{16 * 16 / 224**2:.1%}"])
    for column, layer in enumerate(LAYERS, start=1):
        x = margin + column * (side + gap)
        sheet.arrow(x - gap + 4, 8 + side / 2, gap - 8)
        spread = incremental._spreads[names[network.layers[layer].name]]
        rows, columns = spread.rows, spread.columns
        corner = int(rows.first[PLACE]), int(columns.first[PLACE])
        size = int(rows.size[PLACE]), int(columns.size[PLACE])
        change = (after[layer] - before[layer]).abs().mean(dim=0)
        _map(sheet, x, 8, side, change, corner, size)
        share = size[0] * size[1] / (rows.length * columns.length)
        _captions(
            sheet, x, side,
            [layer, f"{rows.length} x {columns.length} places", f"{size[0]} x {size[1]} change", f"{share:.1%}"],
        )  # fmt: skip
    sheet.save("occlusion-growing.png")


def _incremental(network: cs.Network, windows: Windows, image: Tensor) -> tuple[Incremental, dict[str, Ref]]:
    traced = network.graph(tuple(image.shape))
    assert traced is not None
    fed = network.feed(image[None])
    graph = lean(traced, fed)
    return Incremental(graph, fed, windows), dict(graph.names)


def _captions(sheet: Sheet, x: float, side: float, lines: Sequence[str]) -> None:
    *small, share = lines
    for number, line in enumerate(small):
        colour = QUIET_INK if number else INK
        sheet.text(x + side / 2, 148 + 17 * number, line, size=12, colour=colour, align="centre")
    sheet.text(x + side / 2, 150 + 17 * len(small), share, size=16, colour=diverging(0.85), align="centre")


def _map(
    sheet: Sheet, x: float, y: float, side: int, change: Tensor, corner: tuple[int, int], size: tuple[int, int]
) -> None:
    """A map with its changed rectangle, the redder the more a place changes; none does outside."""
    places = len(change)
    inside = torch.zeros_like(change, dtype=torch.bool)
    inside[corner[0] : corner[0] + size[0], corner[1] : corner[1] + size[1]] = True
    largest = float(change.max())
    assert float(change[~inside].sum()) <= 1e-5 * largest
    sheet.box(x, y, side, side, CLEAN, LINE)
    cell = side / places
    sheet.box(x + corner[1] * cell, y + corner[0] * cell, size[1] * cell, size[0] * cell, diverging(0.3))
    for row, column in inside.nonzero().tolist():
        strength = (float(change[row, column]) / largest) ** 0.5
        sheet.box(x + column * cell, y + row * cell, cell, cell, diverging(0.25 + 0.53 * strength))
    if cell >= 4:
        for at in np.arange(1, places) * cell:
            sheet.line([(x + at, y), (x + at, y + side)], LINE, 0.5)
            sheet.line([(x, y + at), (x + side, y + at)], LINE, 0.5)
    _frame(sheet, x + corner[1] * cell, y + corner[0] * cell, size[1] * cell, size[0] * cell, diverging(0.9))


def _frame(sheet: Sheet, x: float, y: float, width: float, height: float, colour: Colour) -> None:
    around = [(x, y), (x + width, y), (x + width, y + height), (x, y + height), (x, y)]
    sheet.line(around, colour, 1)


# One gather ----------------------------------------------------------------------------------------------------------

# A map of 5×5 places, in which two windows of the occluder change 2×2 each, and a 3×3 convolution that reads it.
SIDE, PATCH = 5, 2
CORNERS = ((0, 1), (2, 2))


def gathering() -> None:
    """How the rows of one table become what a convolution reads for each of two windows."""
    contexts, patches = _gathered()
    sheet = Sheet(900, 470)
    _clean_map(sheet, 14, 46)
    _table(sheet, 250, 30)
    sheet.text(474, 206, "index_select", size=13, align="centre")
    sheet.arrow(428, 232, 92)
    for number, (context, corner, colour) in enumerate(zip(contexts, patches, (CHANGED, OTHER), strict=True)):
        y = 34 + number * 226
        sheet.text(540, y - 26, f"window {'AB'[number]}: what its outputs read", size=12)
        _context(sheet, 540, y, context)
        sheet.arrow(736, y + 93, 36)
        sheet.text(782, y + 5, "convolved,", size=12)
        sheet.text(782, y + 21, "no padding", size=12)
        for row in range(4):
            for column in range(4):
                sheet.box(782 + column * 25, y + 45 + row * 25, 24, 24, _lighter(colour), LINE)
        rows, columns = (f"{start}-{start + 3}" for start in corner)
        sheet.text(782, y + 150, f"rows {rows},", size=11, colour=QUIET_INK)
        sheet.text(782, y + 165, f"columns {columns}", size=11, colour=QUIET_INK)
    sheet.save("occlusion-gather.png")


def _gathered() -> tuple[list[list[list[int]]], list[tuple[int, int]]]:
    """The table's row numbers that each window reads, as the engine gathers them, and its outputs' corners."""
    clean = torch.arange(2.0, 2 + SIDE**2).reshape(1, 1, SIDE, SIDE)
    down, across = zip(*CORNERS, strict=True)
    spread = Spread(_track(down), _track(across))
    ref, written = Ref(0), Ref(1)
    sliding = Window.sliding(3, padding=1)
    after = spread.through((sliding, sliding), (SIDE, SIDE))
    both = np.arange(2)
    patches = Patches(Batch(both, both, both, both), Clean({ref: clean}), {ref: spread, written: after})
    # Each value is the number of its row, so that what is gathered tells where it comes from.
    patches.made[ref] = torch.arange(2.0 + SIDE**2, 2.0 + SIDE**2 + 2 * PATCH**2).reshape(2, 1, PATCH, PATCH)
    rows, columns = patches.rectangle(after)
    # A 3×3 convolution reads a place more on every side.
    read = patches.around(ref, *(Span(span.start - 1, span.count + 2) for span in (rows, columns)))
    corners = list(zip(rows.start.tolist(), columns.start.tolist(), strict=True))
    return read[:, 0].int().tolist(), corners


def _track(firsts: Sequence[int]) -> Track:
    return Track.of(SIDE, firsts, [first + PATCH - 1 for first in firsts])


def _kind(row: int) -> Colour:
    """The colour of a row of the table."""
    if row < 2:
        return EMPTY
    return CLEAN if row < 2 + SIDE**2 else CHANGED if row < 2 + SIDE**2 + PATCH**2 else OTHER


def _lighter(colour: Colour) -> Colour:
    red, green, blue = ((value + 2 * 255) // 3 for value in colour)
    return red, green, blue


def _ink_on(colour: Colour) -> Colour:
    return PAPER if sum(colour) < 460 else INK


def _clean_map(sheet: Sheet, x: float, y: float) -> None:
    sheet.text(x, y - 26, "a map, and what two windows change", size=12)
    cell = 34
    for place in range(SIDE**2):
        row, column = divmod(place, SIDE)
        sheet.box(x + column * cell, y + row * cell, cell - 1, cell - 1, CLEAN, LINE)
        middle = x + (column + 0.5) * cell
        sheet.text(middle, y + row * cell + 8, str(place + 2), size=11, colour=QUIET_INK, align="centre")
    for name, (row, column), colour in zip("AB", CORNERS, (CHANGED, OTHER), strict=True):
        for part in range(PATCH**2):
            down, across = divmod(part, PATCH)
            number = 2 + SIDE**2 + PATCH**2 * "AB".index(name) + part
            left, top = x + (column + across) * cell, y + (row + down) * cell
            sheet.box(left, top, cell - 1, cell - 1, colour)
            sheet.text(left + cell / 2, top + 8, str(number), size=11, colour=_ink_on(colour), align="centre")
    notes = (
        (CLEAN, "clean: computed once"),
        (CHANGED, "patch of window A"),
        (OTHER, "patch of window B"),
        (EMPTY, "padding"),
    )
    for number, (colour, note) in enumerate(notes):
        at = y + SIDE * cell + 26 + 24 * number
        sheet.box(x, at, 16, 16, colour, LINE)
        sheet.text(x + 26, at - 1, note, size=12)


def _table(sheet: Sheet, x: float, y: float) -> None:
    """All rows, one below another: each the channels of a place."""
    count = 2 + SIDE**2 + 2 * PATCH**2
    height = 12
    sheet.text(x + 24, y - 24, "one table: a row is a place", size=12)
    for row in range(count):
        top = y + row * height
        if row in (0, 1, 2, 26, 27, 30, 31, 34):
            sheet.text(x + 18, top - 3, str(row), size=10, colour=QUIET_INK, align="right")
        for channel in range(6):
            sheet.box(x + 24 + channel * 16, top, 15, height - 1, _kind(row), LINE)
    said = ((0, "0"), (1, "lowest"), (14, "clean"), (28.5, "A"), (32.5, "B"))
    for at, what in said:
        sheet.text(x + 128, y + at * height - 3, what, size=11, colour=QUIET_INK)


def _context(sheet: Sheet, x: float, y: float, rows: list[list[int]]) -> None:
    cell = 31
    for down, line in enumerate(rows):
        for across, row in enumerate(line):
            colour = _kind(row)
            sheet.box(x + across * cell, y + down * cell, cell - 1, cell - 1, colour, LINE)
            ink = _ink_on(colour)
            sheet.text(x + (across + 0.5) * cell, y + down * cell + 7, str(row), size=11, colour=ink, align="centre")


# How much changes, along the work -------------------------------------------------------------------------------------

NETWORKS = (
    ("efficientnet-lite0", "EfficientNet-Lite0", diverging(-0.7)),
    ("resnet18", "ResNet-18", QUIET_INK),
    ("vgg16", "VGG-16", diverging(0.75)),
)


def sharing() -> None:
    """The share of the maps that changes, along the networks' work: the area below is what must be computed."""
    from benchmarks.occlusion import _network  # for the two that torchvision has

    sheet = Sheet(900, 392)
    x, y, width, height = 62, 24, 600, 300
    for part in range(5):
        at = y + height * (1 - part / 4)
        sheet.line([(x, at), (x + width, at)], LINE, 0.75)
        sheet.text(x - 8, at - 9, f"{part * 25}%", size=12, colour=QUIET_INK, align="right")
        sheet.text(x + width * part / 4, y + height + 6, f"{part * 25}%", size=12, colour=QUIET_INK, align="centre")
    said = "multiply-adds done, from the image to the answer"
    sheet.text(x + width / 2, y + height + 32, said, size=13, align="centre")
    sheet.text(x, 0, "part of the map that changes", size=13)
    for number, (name, shown, colour) in enumerate(NETWORKS):
        network = _network(name)
        image = network.read("chelsea")
        incremental, _ = _incremental(network, Windows.over(image, WINDOW, STRIDE), image)
        costs = np.array([incremental._costs[index] for index in incremental._order], dtype=float)
        shares = np.array([incremental._share(index) for index in incremental._order])[costs > 0]
        ends = np.cumsum(costs[costs > 0]) / costs.sum()
        points = [(x, y + height * (1 - shares[0]))]
        for end, share, following in zip(ends, shares, [*shares[1:], shares[-1]], strict=True):
            points += [(x + width * end, y + height * (1 - share)), (x + width * end, y + height * (1 - following))]
        sheet.line(points, colour, 2.5)
        at = y + 40 + 84 * number
        sheet.box(x + width + 24, at + 6, 22, 4, colour)
        sheet.text(x + width + 54, at - 3, shown, size=14)
        sheet.text(x + width + 54, at + 18, f"area {incremental.work:.2f}: at most", size=12, colour=QUIET_INK)
        sheet.text(x + width + 54, at + 35, f"{1 / incremental.work:.1f} times faster", size=12, colour=QUIET_INK)
    sheet.save("occlusion-shares.png")


def main() -> None:
    growing()
    gathering()
    sharing()


if __name__ == "__main__":
    main()
