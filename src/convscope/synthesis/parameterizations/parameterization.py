"""Parameterizations: what is really changed while an image is optimized.

Steepest ascent depends on the coordinates: in pixels, high frequencies come first; in Fourier coefficients scaled as
natural images are, all sizes of structure come together (Olah et al. 2017).
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from torch import Generator, Tensor

from convscope.synthesis.parameterizations.natural import Shape


class Parameterization(Protocol):
    """Images `(N, C, H, W)` by parameters `(N, …)`, each image by its own."""

    def start(self, images: Tensor) -> Tensor:
        """The parameters of given images in [0, 1], as near to them as can be."""
        ...

    def noise(self, shape: Shape, draws: Sequence[Generator]) -> Tensor:
        """Parameters of random images `(C, H, W)`, one for each source of random numbers."""
        ...

    def images(self, parameters: Tensor, shape: Shape) -> Tensor:
        """The images in [0, 1], differentiable."""
        ...


@runtime_checkable
class Bounded(Protocol):
    """A parameterization whose parameters have to be brought back into their range after a step."""

    def settle(self, parameters: Tensor) -> None:
        """In place."""
        ...
