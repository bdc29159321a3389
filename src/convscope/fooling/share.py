"""A share of so many, with how far chance may have moved it."""

import math
from dataclasses import dataclass

# The normal distribution's quantile that leaves 2.5% on either side.
_Z = 1.959964


@dataclass(frozen=True)
class Share:
    """`count` of `total`.

    >>> print(Share(9, 10))
    90.0%
    """

    count: int
    total: int

    @property
    def value(self) -> float:
        """In [0, 1]; NaN of none."""
        return self.count / self.total if self.total else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """The ends of its 95% interval (Wilson 1927).

        >>> [round(each, 3) for each in Share(9, 10).interval]
        [0.596, 0.982]
        """
        if not self.total:
            return 0.0, 1.0
        squared = _Z**2 / self.total
        middle = (self.value + squared / 2) / (1 + squared)
        half = _Z * math.sqrt(self.value * (1 - self.value) / self.total + squared / (4 * self.total)) / (1 + squared)
        # Rounding must not leave a share of 0 or 1 outside.
        return max(0.0, min(self.value, middle - half)), min(1.0, max(self.value, middle + half))

    def __str__(self) -> str:
        return f"{self.value:.1%}" if self.total else "none"
