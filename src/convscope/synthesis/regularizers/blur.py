"""Blur: high frequencies taken away now and then."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from convscope.synthesis.parts import LARGEST, check


@dataclass(frozen=True)
class Blur:
    """A Gaussian blur of `sigma` pixels every so many steps (Yosinski et al. 2015)."""

    sigma: float = 1.0
    every: int = 4

    def __post_init__(self) -> None:
        check(self, sigma=(0, 1000), every=(1, LARGEST))

    def adjust(self, deviation: Tensor, gradient: Tensor) -> Tensor:
        return blurred(deviation, self.sigma)


def blurred(images: Tensor, sigma: float) -> Tensor:
    """Images `(N, C, H, W)` out of focus by a Gaussian cut off at four deviations; edges are repeated.

    >>> blurred(torch.ones(1, 3, 5, 5), 2.0).allclose(torch.ones(1, 3, 5, 5))
    True
    """
    if sigma == 0:
        return images
    reach = math.ceil(4 * sigma)
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=torch.float64) / sigma) ** 2)
    weights = (weights / weights.sum()).to(images)
    channels = images.shape[1]
    for axis, margins in (2, (0, 0, reach, reach)), (3, (reach, reach, 0, 0)):
        shape = [1, 1, 1, 1]
        shape[axis] = len(weights)
        kernel = weights.reshape(shape).expand(channels, -1, -1, -1)
        images = F.conv2d(F.pad(images, margins, mode="replicate"), kernel, groups=channels)
    return images
