"""Pad: grey around the image."""

from dataclasses import dataclass

from torch import Generator, Tensor

from convscope.synthesis.parts import LARGEST, check
from convscope.synthesis.transforms.transform import Size, scaling


@dataclass(frozen=True)
class Pad:
    """Show the image with a border so many of its pixels wide, and therefore smaller."""

    pixels: float = 12

    def __post_init__(self) -> None:
        check(self, pixels=(0, LARGEST))

    def matrix(self, size: Size, view: Size, draw: Generator) -> Tensor:
        return scaling(min(size) / (min(size) + 2 * self.pixels))
