"""Crop: a random square piece of the image as the whole view."""

from dataclasses import dataclass

from torch import Generator, Tensor

from convscope.synthesis.parts import check
from convscope.synthesis.transforms.transform import Size, scaling, shift, uniform


@dataclass(frozen=True)
class Crop:
    """Show a piece whose sides are between `low` and `high` of the image's, anywhere within it (MACO; Fel et al. 2023).

    The one transform that shows the network another size than the image's: always its input size.
    """

    low: float = 0.2
    high: float = 0.25

    def __post_init__(self) -> None:
        check(self, low=(0.01, 1), high=(self.low, 1))

    def matrix(self, size: Size, view: Size, draw: Generator) -> Tensor:
        reach = uniform(self.low, self.high, draw) * min(side / seen for side, seen in zip(size, view, strict=True))
        y, x = (
            uniform(-room, room, draw) for room in ((size[0] - view[0] * reach) / 2, (size[1] - view[1] * reach) / 2)
        )
        return shift(x, y) @ scaling(1 / reach)
