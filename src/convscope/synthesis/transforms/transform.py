"""Transforms of the image before the network sees it: what is robust to them is no fragile pattern of pixels.

Moves, turns and sizes are matrices, and all that follow each other become one, so that the image is sampled once. Each
image of a batch has its own random numbers: what becomes of it doesn't depend on its neighbours.
"""

import math
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

Size = tuple[int, int]

# What lies beyond the edges of an image.
_GREY = 0.5


@runtime_checkable
class Affine(Protocol):
    """A transform that moves places."""

    def matrix(self, size: Size, view: Size, draw: Generator) -> Tensor:
        """Where the places of the result come from, `(3, 3)`, in pixels about the middle: `(x, y, 1)` to `(x, y, 1)`.

        `size` and `view` are the rows and columns of the image and of what the network sees.
        """
        ...


@runtime_checkable
class Coloured(Protocol):
    """A transform that changes values at their places."""

    def change(self, images: Tensor, draws: Sequence[Generator]) -> Tensor:
        """Of `(N, C, H, W)`, with a source of random numbers for each."""
        ...


# Or any function of the user's from images to images.
Transform = Affine | Coloured | Callable[[Tensor], Tensor]


def uniform(low: float, high: float, draw: Generator) -> float:
    """One random number."""
    return low + (high - low) * float(torch.rand((), generator=draw, dtype=torch.float64))


def transformed(images: Tensor, transforms: Sequence[Transform], draws: Sequence[Generator], view: Size) -> Tensor:
    """Images `(N, C, H, W)` as the network sees them, `(N, C, *view)`; grey where a transform shows what is outside.

    >>> from convscope.synthesis.transforms import Jitter
    >>> transformed(torch.rand(2, 3, 8, 8), [Jitter(2)], [Generator(), Generator()], (8, 8)).shape
    torch.Size([2, 3, 8, 8])
    """
    for moves, group in groupby(transforms, key=lambda each: isinstance(each, Affine)):
        together = list(group)
        if moves:
            images = warped(images, [_matrix(together, images, view, draw) for draw in draws], view)
            continue
        for each in together:
            images = each.change(images, draws) if isinstance(each, Coloured) else each(images)  # type: ignore[operator]
    return images


def warped(images: Tensor, matrices: Sequence[Tensor], view: Size) -> Tensor:
    """Each image `(C, H, W)` sampled, bilinear, at the places that its matrix names; `(N, C, *view)`."""
    rows, columns = images.shape[-2:]
    # From pixels about the middle to grid_sample's coordinates, which end at ±1 on the image's edges.
    of_view = torch.tensor([view[1] / 2, view[0] / 2, 1.0], dtype=torch.float64)
    of_image = torch.tensor([columns / 2, rows / 2, 1.0], dtype=torch.float64)
    scaled = torch.stack([(each.double() * of_view) / of_image[:, None] for each in matrices])[:, :2]
    grid = F.affine_grid(scaled.to(images), [len(images), 1, *view], align_corners=False)
    return F.grid_sample(images - _GREY, grid, padding_mode="zeros", align_corners=False) + _GREY


def _matrix(transforms: Sequence[Transform], images: Tensor, view: Size, draw: Generator) -> Tensor:
    matrix = torch.eye(3, dtype=torch.float64)
    size = (images.shape[-2], images.shape[-1])
    for each in transforms:
        assert isinstance(each, Affine)
        matrix = matrix @ each.matrix(size, view, draw).double()
    return matrix


def scaling(factor: float) -> Tensor:
    """What shows the image `factor` times as large."""
    return torch.diag(torch.tensor([1 / factor, 1 / factor, 1.0], dtype=torch.float64))


def shift(x: float, y: float) -> Tensor:
    """What shows the image moved by −x columns and −y rows."""
    return torch.tensor([[1.0, 0, x], [0, 1, y], [0, 0, 1]], dtype=torch.float64)


def rotation(degrees: float) -> Tensor:
    """What shows the image turned by an angle."""
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    return torch.tensor([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]], dtype=torch.float64)
