"""Gradients of many images alike, in batches that fit in memory."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from convscope.errors import ImageError
from convscope.network.network import Network
from convscope.network.rules import Rule
from convscope.network.target import Target
from convscope.progress import Steps

_BYTES = 2**29
_MOST = 32


def checked_batch(batch: int | None, network: Network, image: Tensor) -> int:
    """How many images go through together: `batch`, or as many as half a GiB of activations allows, at most 32.

    It depends on network and image alone, so that the same is chosen everywhere.
    """
    if batch is not None:
        if batch < 1:
            raise ImageError(f"got batch={batch}; expected at least 1, or None to have it chosen")
        return batch
    numbers = sum(math.prod(layer.shape) for layer in network.layers_for(image).values())
    # What the forward pass keeps, and as much again on the way back.
    return max(1, min(_MOST, _BYTES // max(1, 2 * numbers * network.dtype.itemsize)))


def weighted_gradients(
    network: Network,
    make: Callable[[int], Tensor],
    weights: Tensor,
    target: Target,
    *,
    batch: int,
    steps: Steps,
    rule: Rule = "gradient",
    smooth: str | None = None,
) -> Tensor:
    """Σ weights[i] · ∂target/∂image at each of the images `make(i)` `(C, H, W)`, added up in double precision."""
    total: Tensor | float = 0.0
    for first in range(0, len(weights), batch):
        part = weights[first : first + batch]
        images = torch.stack([make(first + index) for index in range(len(part))])
        gradients = network.gradient(images, target, rule=rule, smooth=smooth)
        total = total + torch.einsum("n,nchw->chw", part.to(gradients.device), gradients.double())
        steps.done(len(part))
    if not isinstance(total, Tensor):
        raise ValueError("got no weights; there must be an image at least")
    return total
