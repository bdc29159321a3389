"""Scale: the image larger or smaller."""

from dataclasses import dataclass

from torch import Generator, Tensor

from convscope.synthesis.parts import check
from convscope.synthesis.transforms.transform import Size, scaling, uniform


@dataclass(frozen=True)
class Scale:
    """Show the image between `low` and `high` times as large."""

    low: float = 0.9
    high: float = 1.1

    def __post_init__(self) -> None:
        check(self, low=(0.01, 100), high=(self.low, 100))

    def matrix(self, size: Size, view: Size, draw: Generator) -> Tensor:
        return scaling(uniform(self.low, self.high, draw))
