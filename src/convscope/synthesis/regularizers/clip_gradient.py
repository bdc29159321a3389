"""Clip gradient: pixels that the objective hardly feels become grey."""

from dataclasses import dataclass

from torch import Tensor

from convscope.synthesis.parts import LARGEST, check
from convscope.synthesis.regularizers.regularizer import kept


@dataclass(frozen=True)
class ClipGradient:
    """The `share` of pixels with the smallest norm of the gradient over the colours become 0."""

    share: float = 0.2
    every: int = 1

    def __post_init__(self) -> None:
        check(self, share=(0, 1), every=(1, LARGEST))

    def adjust(self, deviation: Tensor, gradient: Tensor) -> Tensor:
        return kept(deviation, gradient.norm(dim=1), self.share)
