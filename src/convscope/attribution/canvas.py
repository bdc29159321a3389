"""Canvases: what pixels are replaced with when they are taken away."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from convscope.errors import ImageError, nearest
from convscope.image.recipe import JSON

Canvas = Literal["gray", "mean", "blur"]
CanvasLike = Canvas | float | Tensor
AnyCanvas = CanvasLike | Literal["black"] | Sequence[float]

BLUR = 1 / 16
"""The blur's σ as a share of the shorter side: enough that nothing small is told any more, 14 pixels of 224."""


def canvas(kind: AnyCanvas, image: Tensor, *, names: Sequence[str] = get_args(Canvas), what: str = "canvas") -> Tensor:
    """What stands where an image or a batch of them `(…, C, H, W)` is taken away, in its shape.

    One of `names`, a number, one a channel, or another image. "black" is 0, "gray" 0.5, "mean" the image's own mean of
    each channel, "blur" the image itself `(C, H, W)` out of focus. Raises ImageError for anything else, which it calls
    `what`.

    >>> canvas("mean", torch.tensor([[[0.0, 1.0]]]))
    tensor([[[0.5000, 0.5000]]])
    """
    if isinstance(kind, str):
        if kind not in names:
            raise ImageError(f"unknown {what} {kind!r}; {nearest(kind, names)}, a number or an image")
        return _MADE[kind](image)
    numbers = _numbers(kind, image, names, what)
    if numbers.shape not in ((), image.shape[-3:-2], image.shape[-3:], image.shape):
        raise ImageError(
            f"got a {what} of shape {tuple(numbers.shape)}; expected a number, one a channel, or an image of shape "
            f"{tuple(image.shape)}"
        )
    return (numbers[:, None, None] if numbers.dim() == 1 else numbers).expand_as(image)


def _numbers(kind: Any, image: Tensor, names: Sequence[str], what: str) -> Tensor:
    try:
        numbers = torch.as_tensor(kind, dtype=image.dtype, device=image.device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ImageError(
            f"got a {what} of type {type(kind).__name__}; expected {', '.join(names)}, a number, one a channel, or an "
            "image"
        ) from error
    if not numbers.isfinite().all():
        raise ImageError(f"the {what} has numbers that are not finite")
    return numbers


def as_parameter(kind: AnyCanvas | Literal["zero"]) -> JSON:
    """A canvas as a recipe has it: "image" for one that is given as a tensor beside it."""
    if isinstance(kind, Tensor):
        return "image" if kind.dim() > 1 else cast("JSON", kind.tolist())
    return list(kind) if isinstance(kind, Sequence) and not isinstance(kind, str) else kind


def blurred(image: Tensor, sigma: float) -> Tensor:
    """An image `(C, H, W)` through a Gaussian of so many pixels; the border's pixels go on beyond it."""
    reach = max(1, math.ceil(3 * sigma))
    offsets = torch.arange(-reach, reach + 1, dtype=image.dtype, device=image.device)
    weights = torch.exp(-(offsets**2) / (2 * sigma**2))
    weights = weights / weights.sum()
    wide = pad(image[:, None], (reach, reach, reach, reach), mode="replicate")
    return conv2d(conv2d(wide, weights[None, None, :, None]), weights[None, None, None])[:, 0]


_MADE: Mapping[str, Callable[[Tensor], Tensor]] = {
    "black": torch.zeros_like,
    "gray": lambda image: torch.full_like(image, 0.5),
    "mean": lambda image: image.mean((-2, -1), keepdim=True).expand_as(image),
    "blur": lambda image: blurred(image, BLUR * min(image.shape[-2:])),
}
