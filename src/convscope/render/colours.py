"""How numbers become colours: two maps that are even to the eye, and the scale that is never hidden.

Both maps are curves in OKLab (Björn Ottosson, "A perceptual color space for image processing", 2020), where equal
distances look equally different. They lie inside the sRGB gamut as they are, so no colour is clipped.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convscope.errors import ImageError

# Ottosson's matrices: linear sRGB to cone responses, and their cube roots to lightness, green-red, blue-yellow.
_TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)

INVALID = (140, 140, 140)
"""The colour of NaN and infinity: a flat grey that neither map holds."""

_SMALLEST = float(np.finfo(np.float64).tiny)
_LARGEST = float(np.finfo(np.float64).max) / 4


def to_array(values: Any) -> NDArray[np.float64]:
    """Numbers of any kind as float64: a torch tensor on any device, an array, a list.

    >>> to_array([[1, 2]])
    array([[1., 2.]])
    """
    if hasattr(values, "detach"):
        # bfloat16 has no numpy twin, so the cast happens on torch's side.
        values = values.detach().cpu().double()
    return np.asarray(values, dtype=np.float64)


def to_oklab(rgb: ArrayLike) -> NDArray[np.float64]:
    """OKLab (..., 3) of sRGB colours (..., 3) in [0, 1]: lightness in [0, 1], then green-red, then blue-yellow.

    >>> to_oklab([1.0, 1.0, 1.0]).round(4).tolist()
    [1.0, 0.0, 0.0]
    """
    encoded = np.asarray(rgb, dtype=np.float64)
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    return np.asarray(np.cbrt(linear @ _TO_CONES.T) @ _TO_LAB.T + 0.0)


def to_srgb(lab: ArrayLike) -> NDArray[np.float64]:
    """Colours in sRGB (..., 3) of OKLab ones (..., 3); what sRGB can't show leaves [0, 1].

    >>> to_srgb([1.0, 0.0, 0.0]).round(4).tolist()
    [1.0, 1.0, 1.0]
    """
    cones = np.asarray(lab, dtype=np.float64) @ np.linalg.inv(_TO_LAB).T
    linear = cones**3 @ np.linalg.inv(_TO_CONES).T
    curved = 1.055 * np.abs(linear) ** (1 / 2.4) - 0.055
    return np.where(linear <= 0.0031308, 12.92 * linear, curved)


def sequential_curve(position: ArrayLike) -> NDArray[np.float64]:
    """OKLab (..., 3) along the sequential map, `position` in [0, 1]: a helix from indigo through red to pale yellow.

    Lightness climbs in proportion to the position while hue turns on a circle, so that every step is equally long.
    """
    t = np.asarray(position, dtype=np.float64)
    angle = np.radians(-102 + 230 * t)
    return np.stack([0.13 + 0.83 * t, 0.025 + 0.118 * np.cos(angle), 0.036 + 0.118 * np.sin(angle)], axis=-1)


def diverging_curve(position: ArrayLike) -> NDArray[np.float64]:
    """OKLab (..., 3) along the diverging map, `position` in [−1, 1]: blue, near-white at 0, red.

    Both arms have the same lightness and chroma at the same distance from 0; only their hues differ.
    """
    t = np.asarray(position, dtype=np.float64)
    reach = np.abs(t)
    chroma = 0.165 * np.sin(np.pi / 2 * reach)
    hue = np.radians(np.where(t < 0, 250 + 12 * reach, 45 - 19 * reach))
    return np.stack([0.97 - 0.55 * reach, chroma * np.cos(hue), chroma * np.sin(hue)], axis=-1)


def _table(lab: NDArray[np.float64]) -> NDArray[np.uint8]:
    table = np.rint(np.clip(to_srgb(lab), 0, 1) * 255).astype(np.uint8)
    table.flags.writeable = False
    return table


_FROM_CENTRE = np.arange(256) - 127.5

SEQUENTIAL: NDArray[np.uint8] = _table(sequential_curve(np.linspace(0, 1, 256)))
"""For magnitudes, (256, 3): dark to bright in even steps of lightness, so that it also reads in grey."""

# 256 entries have no middle one; the two beside it are both the neutral colour, so that 0 has no tinge.
DIVERGING: NDArray[np.uint8] = _table(diverging_curve(np.sign(_FROM_CENTRE) * (np.abs(_FROM_CENTRE) - 0.5) / 127))
"""For signed values, (256, 3): blue below 0, near-white at 0, red above, equally dark at both ends."""


@dataclass(frozen=True)
class Scale:
    """The numbers at the two ends of a colour map; `low == -high` makes it the diverging one, centred on 0.

    Raises `ImageError` unless `low` < `high`, both finite.

    >>> Scale(-2.0, 2.0).diverging, Scale(0.0, 2.0).diverging
    (True, False)
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not _SMALLEST <= self.high - self.low <= 4 * _LARGEST:
            raise ImageError(
                f"a colour scale from {self.low} to {self.high}; expected two finite numbers, the low one first: "
                "pass for example Scale(0, 1), or let Scale.of(values) choose"
            )

    @classmethod
    def of(cls, values: Any, *, signed: bool | None = None, percentile: float = 100.0) -> Self:
        """The scale that `values` (any shape) ask for: from 0 to their largest, or even on both sides of 0.

        `signed` chooses the diverging scale (by default: where any value is negative); `signed=False` starts at 0,
        whatever lies below. `percentile` (0 to 100, of the magnitudes) lets a few outliers pass the ends. NaN and
        infinity have no say. Where nothing but zeros is left, the scale ends at 1.

        >>> Scale.of([[0.0, 3.0]]), Scale.of([[-1.0, 3.0]])
        (Scale(low=0.0, high=3.0), Scale(low=-3.0, high=3.0))
        """
        if not 0 <= percentile <= 100:
            raise ImageError(f"percentile {percentile}; expected 0 to 100: 99 leaves out the largest hundredth")
        array = to_array(values)
        finite = np.clip(array[np.isfinite(array)], -_LARGEST, _LARGEST)
        if signed is None:
            signed = bool((finite < 0).any())
        magnitudes = np.abs(finite) if signed else np.maximum(finite, 0.0)
        largest = float(magnitudes.max(initial=0.0))
        reach = float(np.percentile(magnitudes, percentile)) if finite.size else 0.0
        # In a map that is nearly all zeros the percentile itself is 0; then the largest value is the only guide.
        high = next((each for each in (reach, largest) if each >= _SMALLEST), 1.0)
        return cls(-high if signed else 0.0, high)

    @property
    def diverging(self) -> bool:
        """Whether 0 lies in the middle, so that blue and red tell the sign."""
        return self.low == -self.high

    @property
    def table(self) -> NDArray[np.uint8]:
        """The colour map (256, 3) it draws with."""
        return DIVERGING if self.diverging else SEQUENTIAL

    def position(self, values: Any) -> NDArray[np.float64]:
        """Where `values` lie between the ends, in [0, 1]; beyond them they stop there; NaN where not finite.

        >>> Scale(-2.0, 2.0).position([-5.0, 0.0, 1.0]).tolist()
        [0.0, 0.5, 0.75]
        """
        array = to_array(values)
        clipped = np.clip(np.where(np.isfinite(array), array, np.nan), self.low, self.high)
        return np.asarray((clipped - self.low) / (self.high - self.low))

    def paint(self, position: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Colours (..., 3) of positions in [0, 1]; `INVALID` where they are NaN."""
        known = np.isfinite(position)
        index = np.rint(np.where(known, position, 0.0) * 255).astype(np.intp)
        return np.where(known[..., None], self.table[index], np.array(INVALID, dtype=np.uint8))

    def colour(self, values: Any) -> NDArray[np.uint8]:
        """Colours (..., 3) of `values` (...), 0 to 255.

        >>> Scale(0.0, 1.0).colour([[0.0]]).tolist() == [[SEQUENTIAL[0].tolist()]]
        True
        """
        return self.paint(self.position(values))
