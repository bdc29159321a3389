"""For how long frames are shown."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import count
from typing import NamedTuple

SHORTEST = 0.011
"""Seconds. What is to be shown for less, browsers show for `INSTEAD`."""
INSTEAD = 0.1


class Timing(NamedTuple):
    """The seconds that each frame of an animation is shown, as far as the file goes, and whether it is whole."""

    seconds: Sequence[float]
    whole: bool


def as_browsers_show(seconds: float) -> float:
    """The seconds that browsers show a frame for if its file says `seconds`.

    >>> as_browsers_show(0.04), as_browsers_show(0)
    (0.04, 0.1)
    """
    return seconds if seconds >= SHORTEST else INSTEAD


def delays(frames_per_second: Fraction, units_per_second: int) -> Iterator[int]:
    """How many units of time to show each frame, without end: whole numbers, whose sum never drifts from the rate.

    >>> from itertools import islice
    >>> list(islice(delays(Fraction(30), 100), 6))
    [3, 4, 3, 3, 4, 3]
    """
    shown = 0
    for number in count(1):
        end = round(number * units_per_second / frames_per_second)
        yield end - shown
        shown = end
