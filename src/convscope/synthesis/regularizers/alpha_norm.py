"""α-norm: no value far from grey."""

from dataclasses import dataclass

from torch import Tensor

from convscope.synthesis.parts import LARGEST, check


@dataclass(frozen=True)
class AlphaNorm:
    """weight · mean |2x|^α (Mahendran and Vedaldi 2015): nothing within the range costs much, what leaves it a lot.

    2x, since a deviation from mid-grey reaches half of the range.
    """

    weight: float = 1.0
    alpha: float = 6.0

    def __post_init__(self) -> None:
        check(self, weight=(0, LARGEST), alpha=(1, 100))

    def penalty(self, deviation: Tensor) -> Tensor:
        return self.weight * (2 * deviation).abs().pow(self.alpha).mean(dim=(1, 2, 3))
