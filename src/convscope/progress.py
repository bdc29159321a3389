"""How far long work has come, and how its caller stops it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from convscope.errors import Cancelled


@dataclass(frozen=True)
class Progress:
    """So many of so many steps done in so many seconds; `preview` is the result as far as it goes, where there is one.

    >>> halfway = Progress(done=50, total=100, seconds=5.0)
    >>> halfway.rate, halfway.remaining
    (10.0, 5.0)
    """

    done: int
    total: int
    seconds: float
    preview: Any = None

    @property
    def rate(self) -> float:
        """Steps a second; 0 before the first."""
        return self.done / self.seconds if self.seconds > 0 else 0.0

    @property
    def remaining(self) -> float:
        """Seconds until the end at that rate; infinite before the first step."""
        return (self.total - self.done) / self.rate if self.rate else float("inf")


# Called after each step. Returning False stops the work; anything else, None too, lets it go on.
Watcher = Callable[[Progress], bool | None]


class Steps:
    """Counts the steps of long work and tells a watcher of each.

    >>> steps = Steps(2, lambda progress: print(progress.done, "of", progress.total))
    >>> steps.done()
    1 of 2
    >>> Steps(2, lambda progress: False).done()
    Traceback (most recent call last):
    convscope.errors.Cancelled: stopped after 1 of 2 steps
    """

    def __init__(self, total: int, watcher: Watcher | None = None) -> None:
        self._total, self._watcher = total, watcher
        self._done, self._started = 0, time.perf_counter()

    def done(self, count: int = 1, *, preview: Any = None) -> None:
        """Note that `count` more are done. Raises `Cancelled` if the watcher says so."""
        self._done += count
        if self._watcher is None:
            return
        progress = Progress(self._done, self._total, time.perf_counter() - self._started, preview)
        if self._watcher(progress) is False:
            raise Cancelled(f"stopped after {self._done} of {self._total} steps", so_far=preview)


def part_of(watcher: Watcher | None, index: int, count: int) -> Watcher | None:
    """A watcher of one of several pieces of equal work, the others' time reckoned as its own."""
    if watcher is None:
        return None

    def watch(own: Progress) -> bool | None:
        done, total = index * own.total + own.done, count * own.total
        # The time of those before, had they gone like this one.
        return watcher(Progress(done, total, own.seconds * done / max(1, own.done), own.preview))

    return watch
