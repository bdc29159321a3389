"""Antialiased scaling of images, of which only the rows and columns that are wanted are made."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual

Interpolation: TypeAlias = Literal["bilinear", "bicubic"]
Range: TypeAlias = tuple[int, int]

_RADIUS: dict[Interpolation, int] = {"bilinear": 1, "bicubic": 2}
_CUBIC = -0.5
# As measured: below so many pixels there is nothing to gain.
_LARGE = 100 * 100


@dataclass(frozen=True, eq=False)
class Taps:
    """Which positions along an axis make up each scaled one, and with what weights: those of all in one row.

    Those of the i-th scaled position begin at `begins[i]` and end where the next one's begin.
    """

    positions: NDArray[np.int64]
    weights: NDArray[np.float32]
    begins: NDArray[np.int64]


def resample(images: Tensor, size: tuple[int, int], mode: Interpolation, *, rows: Range, columns: Range) -> Tensor:
    """A batch (N, C, H, W) of floats scaled to `size`, antialiased: of its rows and columns, from the first up to last.

    What is made of a pixel is the same to the bit, whatever else is made, and whatever else is in the batch.

    `F.interpolate` scales so, but all of it, and its loop over floats on a CPU isn't vectorized. Of float32 images
    made smaller, weighted sums of whole rows make the same, but for rounding, in a quarter of the time. They can't be
    differentiated forwards or twice, so where images are, and where little is to be done, `F.interpolate` does it.
    """
    if not _is_worth_while(images, size):
        scaled = F.interpolate(images, size=size, mode=mode, align_corners=False, antialias=True)
        return scaled[..., slice(*rows), slice(*columns)]
    # One by one, what is in between stays in the cache.
    made = [_smaller(image, size, mode, rows, columns) for image in images]
    return made[0][None] if len(made) == 1 else torch.stack(made)


def _is_worth_while(images: Tensor, size: tuple[int, int]) -> bool:
    height, width = images.shape[-2:]
    tangent = unpack_dual(images).tangent  # type: ignore[no-untyped-call]
    differentiated = (images.requires_grad and torch.is_grad_enabled()) or tangent is not None
    return (
        images.dtype == torch.float32
        and images.device.type == "cpu"
        and size[0] < height
        and size[1] < width
        and height * width >= _LARGE
        and not differentiated
    )


@lru_cache(maxsize=256)
def taps(length: int, scaled: int, mode: Interpolation, first: int, last: int) -> Taps:
    """What makes up the positions `first` … `last` − 1 of an axis of `length` that is scaled to `scaled`.

    Position i is centred at c = (i + ½) s on the original, s = length / scaled. There each position j in reach weighs
    k((j + ½ − c) / max(s, 1)), over the sum of these; k is the triangle, or the cubic of Keys (1981) with a = −½, as
    in Pillow.
    """
    # Rounded as PyTorch rounds them. Exact ones would differ from what it makes by up to 1e-4.
    half, scale = np.float32(0.5), np.float32(length) / np.float32(scaled)
    stretch = max(scale, np.float32(1))
    reach = np.float32(_RADIUS[mode]) * stretch
    centres = (np.arange(first, last).astype(np.float32) + half) * scale
    lowest = np.maximum((centres - reach + half).astype(np.int64), 0)
    counts = np.minimum((centres + reach + half).astype(np.int64), length) - lowest
    begins = np.cumsum(counts) - counts
    positions = np.arange(counts.sum()) - np.repeat(begins - lowest, counts)
    distances = np.abs(positions + 0.5 - np.repeat(centres.astype(np.float64), counts)) / float(stretch)
    weights = _triangle(distances) if mode == "bilinear" else _cubic(distances)
    weights = weights / np.repeat(np.add.reduceat(weights, begins), counts)
    return Taps(positions, weights.astype(np.float32), begins)


def _triangle(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(1 - x, 0)


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    near = ((_CUBIC + 2) * x - (_CUBIC + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * _CUBIC
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def _smaller(image: Tensor, size: tuple[int, int], mode: Interpolation, rows: Range, columns: Range) -> Tensor:
    """These rows and columns of an image (C, H, W) scaled to `size`, which is no larger."""
    channels, height, width = image.shape
    down, across = taps(height, size[0], mode, *rows), taps(width, size[1], mode, *columns)
    channel = np.arange(channels)[:, None]
    scaled = _sums(
        image.reshape(channels * height, width),
        (down.positions + channel * height).ravel(),
        np.tile(down.weights, channels),
        (down.begins + channel * len(down.positions)).ravel(),
    )
    # Columns as rows; those that nothing is made of stay out.
    first, last = int(across.positions.min()), int(across.positions.max()) + 1
    # A clone, as a single row turned counts as contiguous, but its strides lead to another loop, that rounds otherwise.
    turned = scaled.t()[first:last].clone(memory_format=torch.contiguous_format)
    scaled = _sums(turned, across.positions - first, across.weights, across.begins).t()
    return scaled.reshape(channels, rows[1] - rows[0], columns[1] - columns[0])


def _sums(
    rows: Tensor, positions: NDArray[np.int64], weights: NDArray[np.float32], begins: NDArray[np.int64]
) -> Tensor:
    """The weighted sums of rows (R, W) at `positions`, one sum for each of `begins`."""
    indices, offsets = torch.from_numpy(positions), torch.from_numpy(begins)
    return F.embedding_bag(indices, rows, offsets, mode="sum", per_sample_weights=torch.from_numpy(weights))
