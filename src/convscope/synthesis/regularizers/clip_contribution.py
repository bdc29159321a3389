"""Clip contribution: pixels that contribute little become grey."""

from dataclasses import dataclass

from torch import Tensor

from convscope.synthesis.parts import LARGEST, check
from convscope.synthesis.regularizers.regularizer import kept


@dataclass(frozen=True)
class ClipContribution:
    """The `share` of pixels with the smallest |Σ x · ∂f/∂x| over the colours become 0 (Yosinski et al. 2015).

    It is, to first order, by how much the objective would change without the pixel.
    """

    share: float = 0.2
    every: int = 1

    def __post_init__(self) -> None:
        check(self, share=(0, 1), every=(1, LARGEST))

    def adjust(self, deviation: Tensor, gradient: Tensor) -> Tensor:
        return kept(deviation, (deviation * gradient).sum(dim=1).abs(), self.share)
