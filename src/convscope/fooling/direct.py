"""Direct: every value of every pixel is a gene."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from convscope.synthesis.parts import LARGEST, check


@dataclass(frozen=True)
class DirectEncoding:
    """Values that begin uniformly random, and change each by itself (Nguyen, Yosinski and Clune 2015).

    Each changes with a probability of `rate`, which is halved every so many generations, by polynomial mutation: the
    larger its `strength`, the nearer to what it was.
    """

    rate: float = 0.1
    halved_every: int = 1000
    strength: float = 15.0

    def __post_init__(self) -> None:
        check(self, rate=(0, 1), halved_every=(1, LARGEST), strength=(0, LARGEST))

    def first(self, shape: tuple[int, int, int], draw: Generator) -> Tensor:
        return torch.randint(256, shape, generator=draw, dtype=torch.uint8)

    def mutated(self, genome: Tensor, draw: Generator, generation: int) -> Tensor:
        rate = self.rate * 0.5 ** (generation // self.halved_every)
        chosen = torch.rand(genome.shape, generator=draw) < rate
        changed = polynomial(genome[chosen].float() / 255, torch.rand(int(chosen.sum()), generator=draw), self.strength)
        other = genome.clone()
        other[chosen] = (changed * 255).round().to(torch.uint8)
        return other

    def images(self, genomes: Sequence[Tensor], shape: tuple[int, int, int], device: torch.device) -> Tensor:
        return torch.stack(list(genomes)).to(device).float() / 255


def polynomial(values: Tensor, uniform: Tensor, strength: float) -> Tensor:
    """Polynomial mutation of values in [0, 1], which it never leaves (Deb and Deb 2014).

        x + ((2u)^(1/(1+η)) − 1) x           for u < ½
        x + (1 − (2 (1 − u))^(1/(1+η))) (1 − x)   otherwise

    with u `uniform` in [0, 1] and η the strength.

    >>> polynomial(torch.tensor([0.5, 0.5, 0.5]), torch.tensor([0.0, 0.5, 1.0]), 15)
    tensor([0.0000, 0.5000, 1.0000])
    """
    power = 1 / (1 + strength)
    down = values * (2 * uniform) ** power
    up = values + (1 - (2 * (1 - uniform)).clamp(min=0) ** power) * (1 - values)
    return torch.where(uniform < 0.5, down, up).clamp(0, 1)
