"""Ascent: plain steps along the gradient, brought to one length."""

from dataclasses import dataclass

import torch
from torch import Tensor

from convscope.synthesis.optimizers.optimizer import Climb, Evaluate
from convscope.synthesis.parts import LARGEST, check


@dataclass(frozen=True)
class Ascent:
    """p ← p + rate · v, v ← momentum · v + g / (mean |g|), the mean over each image's own parameters.

    So the rate is what a parameter moves on average, whatever the network's scale (as in DeepDream; Mordvintsev et
    al. 2015).
    """

    rate: float = 0.01
    momentum: float = 0.0

    def __post_init__(self) -> None:
        check(self, rate=(0, LARGEST), momentum=(0, 0.9999))

    def over(self, parameters: Tensor) -> Climb:
        return _Climb(self, parameters)


class _Climb:
    def __init__(self, ascent: Ascent, parameters: Tensor) -> None:
        self._ascent, self._parameters = ascent, parameters
        self._velocity: Tensor | None = None

    def step(self, evaluate: Evaluate, factor: float) -> None:
        _, gradient = evaluate()
        direction = normalized(gradient)
        if self._ascent.momentum:
            direction = direction if self._velocity is None else self._velocity * self._ascent.momentum + direction
            self._velocity = direction
        with torch.no_grad():
            self._parameters.add_(direction, alpha=self._ascent.rate * factor)


def normalized(gradient: Tensor) -> Tensor:
    """Each item of `(N, …)` over the mean of its absolute values; nothing where all is 0."""
    size = gradient.abs().mean(dim=tuple(range(1, gradient.dim())), keepdim=True)
    return gradient / size.where(size > 0, 1)
