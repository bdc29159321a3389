"""Regularizers: what keeps an image simple while it is optimized.

A *penalty* is a number to be small beside the objective that is to be large; an *adjustment* changes the image itself
every so many steps. Both see the image's deviation from the neutral grey of the network, its mean image.
"""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class Penalty(Protocol):
    """A number to be small."""

    def penalty(self, deviation: Tensor) -> Tensor:
        """Of each image's deviation `(N, C, H, W)`: `(N,)`, differentiable."""
        ...


@runtime_checkable
class Adjustment(Protocol):
    """A change of the image itself, after every `every` steps."""

    @property
    def every(self) -> int: ...

    def adjust(self, deviation: Tensor, gradient: Tensor) -> Tensor:
        """The new deviation; `gradient` is the objective's with respect to the image, of the same shape."""
        ...


# Or any function of the user's from images in [0, 1] to a number each that is to be small.
Regularizer = Penalty | Adjustment | Callable[[Tensor], Tensor]


def kept(deviation: Tensor, strength: Tensor, share: float) -> Tensor:
    """The deviation with the `share` of pixels `(N, H, W)` of the least `strength` set to 0."""
    flat = strength.flatten(1)
    count = round(share * flat.shape[1])
    if count == 0:
        return deviation
    weakest = flat.topk(count, dim=1, largest=False).indices
    mask = flat.new_ones(flat.shape).scatter(1, weakest, 0).reshape(strength.shape)
    return deviation * mask[:, None]
