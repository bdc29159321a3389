"""Decay: every value a little nearer to grey after each step."""

from dataclasses import dataclass

from torch import Tensor

from convscope.synthesis.parts import LARGEST, check


@dataclass(frozen=True)
class Decay:
    """L2 decay: x ← (1 − rate) x, the step down ‖x‖² (Simonyan et al. 2013, Yosinski et al. 2015)."""

    rate: float = 1e-4
    every: int = 1

    def __post_init__(self) -> None:
        check(self, rate=(0, 1), every=(1, LARGEST))

    def adjust(self, deviation: Tensor, gradient: Tensor) -> Tensor:
        return deviation * (1 - self.rate)
