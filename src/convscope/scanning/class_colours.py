"""A colour for each of the commonest classes, and the legend that names them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from convscope.render import text
from convscope.render.text import PAPER, QUIET_INK

Colour = tuple[int, int, int]

NAMED = 20
"""Classes that have a colour of their own at most."""

COLOURS: tuple[Colour, ...] = (
    (0, 98, 178), (225, 110, 0), (105, 0, 60), (120, 240, 90), (225, 120, 255), (60, 90, 0), (225, 45, 120),
    (60, 0, 135), (120, 90, 240), (0, 225, 255), (105, 180, 105), (0, 150, 165), (135, 90, 75), (75, 45, 0),
    (75, 60, 105), (195, 180, 0), (105, 240, 195), (165, 15, 150), (135, 135, 210), (255, 180, 150),
)  # fmt: skip
"""Each as far as may be from those before it, for common sight and for those who see no red or no green."""

OTHER: Colour = (176, 181, 187)
"""Of images whose class isn't named, or isn't known."""

_LETTERS = 13
_SWATCH = 12
_GAP = 16


@dataclass(frozen=True)
class Classes:
    """The commonest classes by `names`, in alphabetical order, and how many images each `counts`.

    `of` (n,) says which of them each image is in, -1 none; so many are in `others`, and so many `unknown`.
    """

    names: tuple[str, ...]
    counts: tuple[int, ...]
    of: NDArray[np.int16]
    others: int
    unknown: int

    def colour(self, row: int) -> Colour:
        """That of one image."""
        index = int(self.of[row])
        return COLOURS[index] if index >= 0 else OTHER

    @property
    def entries(self) -> list[tuple[Colour, str]]:
        """Colours and what they mean."""
        named = [
            (colour, f"{name} ({count:,})")
            for colour, name, count in zip(COLOURS, self.names, self.counts, strict=False)
        ]
        rest = [(OTHER, f"other classes ({self.others:,})")] if self.others else []
        return named + rest + ([(OTHER, f"no class known ({self.unknown:,})")] if self.unknown else [])


def classes(labels: Sequence[str | None]) -> Classes:
    """The classes of images by their labels; of more than 20 only the commonest have names, and none of a single image.

    >>> classes(["cat", None, "dog", "cat"]).entries
    [((0, 98, 178), 'cat (2)'), ((225, 110, 0), 'dog (1)'), ((176, 181, 187), 'no class known (1)')]
    """
    counted = Counter(label for label in labels if label is not None)
    commonest = sorted(counted, key=lambda name: (-counted[name], name))[:NAMED]
    few = len(counted) <= NAMED
    names = tuple(sorted((name for name in commonest if few or counted[name] > 1), key=_natural))
    places = {name: place for place, name in enumerate(names)}
    of = np.array([places.get(label, -1) if label is not None else -1 for label in labels], dtype=np.int16)
    unknown = sum(label is None for label in labels)
    return Classes(names, tuple(counted[name] for name in names), of, int((of < 0).sum()) - unknown, unknown)


def _natural(name: str) -> tuple[int, str]:
    """Numbers come by size, before words."""
    return (int(name), name) if name.isascii() and name.isdigit() else (1 << 62, name)


def legend(entries: Sequence[tuple[Colour, str]], width: int) -> Image.Image:
    """Swatches and names in as many columns as there is room for, row by row."""
    line = text.line_height(_LETTERS) + 2
    wanted = max(text.width(name, _LETTERS) for _, name in entries) + _SWATCH + 6 + _GAP
    cell = min(wanted, width - 2 * _GAP)
    columns = max(1, (width - _GAP) // cell)
    strip = Image.new("RGB", (width, -(-len(entries) // columns) * line + _GAP), PAPER)
    for place, (colour, name) in enumerate(entries):
        x, y = _GAP // 2 + place % columns * cell, _GAP // 2 + place // columns * line
        top = y + (line - _SWATCH) // 2 - 1
        swatch = dot(colour, _SWATCH)
        strip.paste(swatch, (x, top), swatch)
        shown = text.shorten(name, cell - _SWATCH - 6 - _GAP // 2, _LETTERS)
        text.write(strip, shown, at=(x + _SWATCH + 6, y), size=_LETTERS, colour=QUIET_INK)
    return strip


def dot(colour: Colour, side: int) -> Image.Image:
    """A round dot, smooth at its edge, as a picture with transparency."""
    large = Image.new("L", (side * 4, side * 4))
    ImageDraw.Draw(large).ellipse((0, 0, side * 4 - 1, side * 4 - 1), fill=230)
    made = Image.new("RGBA", (side, side), colour)
    made.putalpha(large.resize((side, side), Image.Resampling.BOX))
    return made
