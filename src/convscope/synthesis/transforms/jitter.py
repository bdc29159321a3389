"""Jitter: the image moved by a few whole pixels."""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from convscope.synthesis.parts import LARGEST, check
from convscope.synthesis.transforms.transform import Size, shift


@dataclass(frozen=True)
class Jitter:
    """Move the image by up to half of `pixels` either way, as a crop of it that may begin at `pixels + 1` places does.

    Whole pixels, so that by itself it blurs nothing.
    """

    pixels: float = 8

    def __post_init__(self) -> None:
        check(self, pixels=(0, LARGEST))

    def matrix(self, size: Size, view: Size, draw: Generator) -> Tensor:
        low = -(int(self.pixels) // 2)
        x, y = torch.randint(low, low + int(self.pixels) + 1, (2,), generator=draw).tolist()
        return shift(x, y)
