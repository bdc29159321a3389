"""Textures whose every pixel is copied from an example, and what the ways of copying share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from convscope.errors import ConvscopeError, ImageError, nearest
from convscope.image.check import check_image
from convscope.image.recipe import Recipe
from convscope.image.write import to_picture
from convscope.render.grid import grid
from convscope.render.result import Pictured

Array = NDArray[np.float64]
Places = NDArray[np.int64]
Style = Literal["texture", "beside", "source"]
Size = int | Sequence[int]

KEPT = -1
"""Row and column in `source` of a pixel that was not copied but there from the start."""

# Mean squares of differences closer than this are taken for equal: a hundredth of a grey level of 8 bits, and far above
# what rounding does. Else the first of many perfect matches would win by its last digit.
_EQUAL = (0.01 / 255) ** 2

_GREY = 0.8


@dataclass(frozen=True)
class CopiedTexture(Pictured):
    """A texture made of pixels of an example.

    `image` (C, H, W) in [0, 1] and `example` (C, h, w) are of one type. `source` (H, W, 2), int64, says from which row
    and column of the example each pixel came; −1, −1 for a pixel that was there from the start.
    """

    image: Tensor
    example: Tensor
    source: Tensor
    recipe: Recipe

    def picture(self, *, style: Style = "texture") -> Image.Image:
        """The texture as it is, `"beside"` its example, or where all came from.

        `"source"` colours each pixel by its place in the example: what was copied together has one even shade, and
        seams are where it jumps. Pixels that were there from the start are grey. Raises `ConvscopeError` for another
        style.
        """
        if style not in get_args(Style):
            raise ConvscopeError(f"no style {style!r}; {nearest(style, get_args(Style))}")
        if style == "texture":
            return to_picture(self.image)
        if style == "beside":
            pictures = [to_picture(self.example), to_picture(self.image)]
            return grid(pictures, labels=["example", "copied from it"], columns=2)
        key = _places(*self.example.shape[1:])
        shown = [to_picture(_coloured(places, *self.example.shape[1:])) for places in (key, self.source)]
        return grid(shown, labels=["places", "copied from there"], columns=2)


def pick(differences: Array, tolerance: float, draw: float) -> int:
    """One of the places whose difference is within (1 + tolerance) of the least, by a draw from [0, 1).

    `differences` are mean squares of differences of pixel values; those of less than a hundredth of a grey level of 8
    bits are equal.

    >>> [pick(np.array([0.4, 0.21, 0.2, 0.5]), 0.1, draw) for draw in (0.0, 0.49, 0.5, 0.99)]
    [1, 1, 2, 2]
    """
    near = np.flatnonzero(differences <= differences.min() * (1 + tolerance) + _EQUAL)
    return int(near[int(draw * len(near))])


def check_example(example: Tensor, tolerance: float, *, at_least: int, advice: str) -> None:
    """Raise `ImageError` unless `example` is an image (C, H, W) with sides of `at_least`, and `tolerance` 0 or more."""
    check_image(example)
    if example.dim() != 3:
        raise ImageError(
            f"got a batch of shape {tuple(example.shape)}, expected one example (C, H, W): choose one of it"
        )
    if not example.isfinite().all():
        raise ImageError("got an example with NaN or infinity in it, expected values in [0, 1]")
    rows, columns = example.shape[1:]
    if min(rows, columns) < at_least:
        raise ImageError(
            f"got an example of {rows} × {columns} pixels; expected {at_least} × {at_least} at least: {advice}"
        )
    if not 0 <= tolerance < float("inf"):
        raise ImageError(f"got tolerance={tolerance}; expected 0 (only the best matches) or more, such as 0.1")


def output_size(size: Size | None, example: Tensor, *, times: float) -> tuple[int, int]:
    """(rows, columns) asked for: one number is the side of a square; by default so many `times` the example's.

    >>> output_size(None, torch.zeros(1, 5, 8), times=2), output_size(7, torch.zeros(1, 5, 8), times=2)
    ((10, 16), (7, 7))
    """
    match size:
        case None:
            return int(example.shape[1] * times), int(example.shape[2] * times)
        case int(side) if side >= 1:
            return side, side
        case (int(rows), int(columns)) if min(rows, columns) >= 1:
            return rows, columns
    raise ImageError(f"got size={size!r}; expected a number of pixels from 1 on, or a pair (rows, columns) of them")


def to_array(image: Tensor) -> Array:
    """An image as a NumPy array of float64 that may be changed without changing the image."""
    return np.array(image.detach().cpu().double().numpy())


def copied(example: Tensor, source: Places, start: Tensor | None = None) -> Tensor:
    """The image (C, H, W) that takes each pixel from its place in the example, or keeps that of `start`."""
    places = torch.from_numpy(source).to(example.device)
    image = example.detach()[:, places[..., 0], places[..., 1]]
    return image if start is None else torch.where(places[..., 0] == KEPT, start.detach().to(image), image)


def _places(rows: int, columns: int) -> Tensor:
    down, across = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    return torch.stack([down, across], -1)


def _coloured(source: Tensor, rows: int, columns: int) -> Tensor:
    """Green grows downwards and red to the right; blue falls along both, so that no corner is black."""
    source = source.cpu()
    down, across = source[..., 0] / max(1, rows - 1), source[..., 1] / max(1, columns - 1)
    colours = torch.stack([across, down, 1 - (across + down) / 2])
    return torch.where(source[..., 0] == KEPT, torch.full_like(colours, _GREY), colours)
