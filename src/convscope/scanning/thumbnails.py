"""Small squares of a scan's pictures, each read only when it is drawn."""

from collections import OrderedDict
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from convscope.errors import ImageError
from convscope.image.write import to_picture
from convscope.render.text import PAPER
from convscope.scanning.class_colours import Classes, dot

if TYPE_CHECKING:
    from convscope.scanning.stored import Scan

STORED = 32
"""The side of the pictures that a scan keeps; larger ones are read from their files."""

_HELD = 32 << 20
"""Bytes of squares that are kept for the next strip."""


class Thumbnails:
    """Squares of the images with these ids, `side` pixels each, in a frame of their class's colour, or a white line.

    They show the middle of a picture. Up to 32 pixels they are what the scan keeps; larger ones are read from the
    files, or enlarged where a file is gone.
    """

    def __init__(self, scan: "Scan", ids: NDArray[np.int64], side: int, classes: Classes | None) -> None:
        self._scan, self._ids, self._side, self._classes = scan, ids, side, classes
        self._held: OrderedDict[int, Image.Image] = OrderedDict()

    def __call__(self, row: int) -> Image.Image:
        """That of one row of the map."""
        if row in self._held:
            self._held.move_to_end(row)
        else:
            self._held[row] = self._drawn(row)
            if len(self._held) * 3 * self._side**2 > _HELD:
                self._held.popitem(last=False)
        return self._held[row]

    def _drawn(self, row: int) -> Image.Image:
        square = self._read(row).resize((self._side, self._side), Image.Resampling.LANCZOS)
        colour = PAPER if self._classes is None else self._classes.colour(row)
        frame = 1 if self._classes is None else max(1, self._side // 16)
        ImageDraw.Draw(square).rectangle((0, 0, self._side - 1, self._side - 1), outline=colour, width=frame)
        return square

    def _read(self, row: int) -> Image.Image:
        id = int(self._ids[row])
        if self._side > STORED:
            try:
                return _middle(to_picture(self._scan.open(id)).convert("RGB"))
            except ImageError:
                # Gone since the scan looked for it: what was kept of it is better than a hole.
                pass
        pixels = self._pixels[self._scan.images.row(id)].reshape(3, STORED, STORED)
        return Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))

    @cached_property
    def _pixels(self) -> NDArray[Any]:
        return self._scan.pixels()


def _middle(picture: Image.Image) -> Image.Image:
    """The largest square in the middle."""
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    return picture.crop((left, top, left + side, top + side))


class Dots:
    """A round dot of its class's colour for each image, `side` pixels across, smooth at its edge."""

    def __init__(self, side: int, classes: Classes | None) -> None:
        self._side, self._classes = side, classes
        self._held: dict[tuple[int, int, int], Image.Image] = {}

    def __call__(self, row: int) -> Image.Image:
        """That of one row of the map, with its transparency."""
        colour = self._classes.colour(row) if self._classes else (60, 60, 66)
        if colour not in self._held:
            self._held[colour] = dot(colour, self._side)
        return self._held[colour]
