"""Timing things against each other, and printing what came out."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """Wall times of one function, in seconds, in the order in which they were taken."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def minimum(self) -> float:
        return min(self.seconds)

    @property
    def maximum(self) -> float:
        return max(self.seconds)

    def ratio(self, reference: "Timing") -> float:
        """How many times as long as `reference` it takes: the median over the rounds in which both were timed."""
        return statistics.median(own / other for own, other in zip(self.seconds, reference.seconds, strict=True))

    def least_ratio(self, reference: "Timing") -> float:
        """The same of the minima, which a busy machine disturbs least."""
        return self.minimum / reference.minimum


def interleaved(*functions: Callable[[], object], repetitions: int = 15, warm_up: int = 2) -> list[Timing]:
    """A timing of each function, called in turn (A B A B …), so that a busy spell of the machine falls on all alike."""
    for _ in range(warm_up):
        for function in functions:
            function()
    rounds = [[_seconds(function) for function in functions] for _ in range(repetitions)]
    return [Timing(seconds) for seconds in zip(*rounds, strict=True)]


def _seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Aligned columns: the first to the left, numbers to the right."""
    widths = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
    for row in (columns, *rows):
        first, *others = (
            f"{cell:{'>' if at else '<'}{width}}" for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join([first, *others]).rstrip())


def milliseconds(seconds: float) -> str:
    """`12.3 ms`."""
    return f"{seconds * 1000:.1f} ms"
