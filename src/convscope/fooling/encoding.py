"""Encodings: what evolution changes, and the image that it stands for."""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Generator, Tensor

from convscope.fooling.cppn import CppnEncoding
from convscope.fooling.direct import DirectEncoding

Shape = tuple[int, int, int]


class Encoding(Protocol):
    """Genomes that are never changed, but copied with a change."""

    def first(self, shape: Shape, draw: Generator) -> Any:
        """A random genome of an image `(C, H, W)`."""
        ...

    def mutated(self, genome: Any, draw: Generator, generation: int) -> Any:
        """Another that differs a little, in that generation."""
        ...

    def images(self, genomes: Sequence[Any], shape: Shape, device: torch.device) -> Tensor:
        """Their images `(N, C, H, W)` in [0, 1], in steps of 1/255."""
        ...


ENCODINGS: dict[str, type[Any]] = {"direct": DirectEncoding, "cppn": CppnEncoding}
