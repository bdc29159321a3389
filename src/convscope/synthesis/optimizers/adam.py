"""Adam, uphill (Kingma and Ba 2015)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from convscope.synthesis.optimizers.optimizer import Climb, Evaluate
from convscope.synthesis.parts import LARGEST, check


@dataclass(frozen=True)
class Adam:
    """Steps of about `rate` in every parameter, by running means of its gradient and of the gradient's square."""

    rate: float = 0.05
    momentum: float = 0.9
    memory: float = 0.999

    def __post_init__(self) -> None:
        check(self, rate=(0, LARGEST), momentum=(0, 0.9999), memory=(0, 0.999999))

    def over(self, parameters: Tensor) -> Climb:
        return _Climb(self, parameters)


class _Climb:
    def __init__(self, adam: Adam, parameters: Tensor) -> None:
        self._adam, self._parameters = adam, parameters
        self._torch = torch.optim.Adam([parameters], lr=adam.rate, betas=(adam.momentum, adam.memory), maximize=True)

    def step(self, evaluate: Evaluate, factor: float) -> None:
        _, gradient = evaluate()
        self._torch.param_groups[0]["lr"] = self._adam.rate * factor
        self._parameters.grad = gradient
        self._torch.step()
