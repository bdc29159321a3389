"""Noise: every value a little off."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor


@dataclass(frozen=True)
class Noise:
    """Add normal noise of a `deviation`, in the image's units."""

    deviation: float = 0.05

    def change(self, images: Tensor, draws: Sequence[Generator]) -> Tensor:
        drawn = torch.stack([torch.randn(images.shape[1:], generator=draw) for draw in draws])
        return images + self.deviation * drawn.to(images)
