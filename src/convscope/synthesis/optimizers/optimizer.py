"""Optimizers: how the parameters follow the gradient, uphill."""

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

# What is to become large at the parameters as they are, `(N,)`, and its gradient in their shape.
Evaluate = Callable[[], tuple[Tensor, Tensor]]


class Climb(Protocol):
    """One climb of one tensor of parameters `(N, …)`, which it changes in place."""

    def step(self, evaluate: Evaluate, factor: float) -> None:
        """Go one step; `factor` times the usual rate."""
        ...


class Optimizer(Protocol):
    """Begins climbs."""

    def over(self, parameters: Tensor) -> Climb: ...
