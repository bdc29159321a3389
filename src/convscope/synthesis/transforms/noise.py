"""Noise: every value a little off."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from convscope.synthesis.parts import LARGEST, check


@dataclass(frozen=True)
class Noise:
    """Add normal noise of a `deviation`, in the image's units."""

    deviation: float = 0.05

    def __post_init__(self) -> None:
        check(self, deviation=(0, LARGEST))

    def change(self, images: Tensor, draws: Sequence[Generator]) -> Tensor:
        drawn = torch.stack([torch.randn(images.shape[1:], generator=draw) for draw in draws])
        return images + self.deviation * drawn.to(images)
