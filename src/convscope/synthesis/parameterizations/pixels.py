"""Pixels: the image itself, or what a sigmoid makes it of."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from convscope.synthesis.parameterizations.natural import Shape, logit
from convscope.synthesis.parts import LARGEST, PartError, check


@dataclass(frozen=True)
class Pixels:
    """Every value by itself: `bound` is "clip", cut at 0 and 1 after each step, or "sigmoid", which never gets there.

    Noise is normal with the `deviation`, in units of the image, about mid-grey.
    """

    bound: str = "clip"
    deviation: float = 0.05

    def __post_init__(self) -> None:
        if self.bound not in ("clip", "sigmoid"):
            raise PartError(f"got bound={self.bound!r} for pixels; expected clip or sigmoid")
        check(self, deviation=(0, LARGEST))

    def start(self, images: Tensor) -> Tensor:
        return images.clone() if self.bound == "clip" else logit(images)

    def noise(self, shape: Shape, draws: Sequence[Generator]) -> Tensor:
        noise = torch.stack([torch.randn(shape, generator=draw) for draw in draws])
        return self.start((0.5 + self.deviation * noise).clamp(0, 1))

    def images(self, parameters: Tensor, shape: Shape) -> Tensor:
        # A copy: the parameters themselves go on changing in place.
        return parameters.clone() if self.bound == "clip" else parameters.sigmoid()

    def settle(self, parameters: Tensor) -> None:
        if self.bound == "clip":
            parameters.clamp_(0, 1)
