"""Schedules: how the rate changes from the first step to the last."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from convscope.synthesis.parts import check

# From how far the climb has come, from 0 to 1, to the rate's factor.
Schedule = Callable[[float], float]


@dataclass(frozen=True)
class Constant:
    """The same rate throughout."""

    def __call__(self, done: float) -> float:
        return 1.0


@dataclass(frozen=True)
class Linear:
    """From the whole rate to `end` of it in a straight line."""

    end: float = 0.0

    def __post_init__(self) -> None:
        check(self, end=(0, 1))

    def __call__(self, done: float) -> float:
        return 1 + (self.end - 1) * done


@dataclass(frozen=True)
class Cosine:
    """From the whole rate to `end` of it along half a cosine."""

    end: float = 0.0

    def __post_init__(self) -> None:
        check(self, end=(0, 1))

    def __call__(self, done: float) -> float:
        return self.end + (1 - self.end) * (1 + math.cos(math.pi * done)) / 2
