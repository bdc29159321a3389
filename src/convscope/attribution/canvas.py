"""Canvases: what pixels are replaced with when they are taken away."""

import math
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from convscope.errors import ImageError, nearest

Canvas = Literal["gray", "mean", "blur"]
CanvasLike = Canvas | float | Tensor

BLUR = 1 / 16
"""The blur's σ as a share of the shorter side: enough that nothing small is told any more, 14 pixels of 224."""


def canvas(kind: CanvasLike, image: Tensor) -> Tensor:
    """What stands where an image `(C, H, W)` is taken away, in its shape.

    "gray" 0.5, "mean" the image's own mean of each channel, "blur" the image itself out of focus, a number, or another
    image. Raises ImageError for anything else.

    >>> canvas("mean", torch.tensor([[[0.0, 1.0]]]))
    tensor([[[0.5000, 0.5000]]])
    """
    if isinstance(kind, Tensor):
        if kind.shape != image.shape:
            raise ImageError(f"got a canvas of shape {tuple(kind.shape)}; expected the image's, {tuple(image.shape)}")
        return kind.to(image)
    if isinstance(kind, str):
        if kind not in get_args(Canvas):
            raise ImageError(f"unknown canvas {kind!r}; {nearest(kind, get_args(Canvas))}, a number or an image")
        if kind == "blur":
            return blurred(image, BLUR * min(image.shape[-2:]))
        return torch.full_like(image, 0.5) if kind == "gray" else image.mean((1, 2), keepdim=True).expand_as(image)
    if not math.isfinite(kind):
        raise ImageError(f"got the canvas {kind}; expected a finite number")
    return torch.full_like(image, float(kind))


def blurred(image: Tensor, sigma: float) -> Tensor:
    """An image `(C, H, W)` through a Gaussian of so many pixels; the border's pixels go on beyond it."""
    reach = max(1, math.ceil(3 * sigma))
    offsets = torch.arange(-reach, reach + 1, dtype=image.dtype, device=image.device)
    weights = torch.exp(-(offsets**2) / (2 * sigma**2))
    weights = weights / weights.sum()
    wide = pad(image[:, None], (reach, reach, reach, reach), mode="replicate")
    return conv2d(conv2d(wide, weights[None, None, :, None]), weights[None, None, None])[:, 0]
