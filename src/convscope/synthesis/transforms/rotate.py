"""Rotate: the image turned about its middle."""

from dataclasses import dataclass

from torch import Generator, Tensor

from convscope.synthesis.parts import check
from convscope.synthesis.transforms.transform import Size, rotation, uniform


@dataclass(frozen=True)
class Rotate:
    """Turn the image by up to `degrees` either way."""

    degrees: float = 10

    def __post_init__(self) -> None:
        check(self, degrees=(0, 360))

    def matrix(self, size: Size, view: Size, draw: Generator) -> Tensor:
        return rotation(uniform(-self.degrees, self.degrees, draw))
