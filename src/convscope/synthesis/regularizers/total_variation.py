"""Total variation: how much neighbouring pixels differ."""

from dataclasses import dataclass

import torch
from torch import Tensor

from convscope.synthesis.parts import LARGEST, check


@dataclass(frozen=True)
class TotalVariation:
    """weight · mean over places and colours of (Δx² + Δy²)^(β/2) (Mahendran and Vedaldi 2015).

    Of the deviation as it is, in [−1, 1], and a mean: the same weight serves images of any size.
    """

    weight: float = 1.0
    beta: float = 2.0

    def __post_init__(self) -> None:
        check(self, weight=(0, LARGEST), beta=(0.1, 100))

    def penalty(self, deviation: Tensor) -> Tensor:
        return self.weight * total_variation(deviation, self.beta)


def total_variation(images: Tensor, beta: float = 2.0) -> Tensor:
    """Of `(N, C, H, W)`, `(N,)`. Beyond the last row and column nothing differs.

    >>> total_variation(torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]]))
    tensor([0.5000])
    """
    down = torch.diff(images, dim=2, append=images[:, :, -1:])
    right = torch.diff(images, dim=3, append=images[:, :, :, -1:])
    squares = down.square() + right.square()
    # The root of 0 has no slope.
    steps = squares if beta == 2 else (squares + 1e-12) ** (beta / 2)
    return steps.mean(dim=(1, 2, 3))
