"""What a scan keeps of each channel over all images: the strongest, the usual, and how often how much.

Summaries of parts merge to that of the whole. The strongest merge in any order to the same, ties going to the image
that comes first; the moments are merged in the order of the parts (Chan, Golub and LeVeque 1979), so that the same
parts give the same bits.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Whole = NDArray[np.int64]

_OCTAVES = np.arange(-10, 14, 0.5)
EDGES: Doubles = np.concatenate([[-np.inf], -(2.0 ** _OCTAVES[::-1]), 2.0**_OCTAVES, [np.inf]])
"""The histogram's bins `(98,)`: half octaves of magnitude from 2⁻¹⁰ to 2¹³·⁵ on either side of a bin around 0.

Fixed once and for all, so that histograms of parts can be added. A bin holds its lower edge.
"""


@dataclass(frozen=True)
class Top:
    """The `k` images in which each channel of a layer is strongest, at most one place an image, descending.

    `values` `(C, k)` float32, −∞ where there are fewer images; `images` `(C, k)` their ids, −1 there; `places`
    `(C, k, 2)` row and column in the layer's map, 0 where it has no space. Equal values stand in the order of ids.
    """

    values: Floats
    images: Whole
    places: NDArray[np.int32]

    @classmethod
    def of(cls, values: Floats, ids: Whole, places: NDArray[np.int32], k: int) -> Self:
        """Of the values `(N, C)` of so many images, in the order of their ids `(N,)`; `places` `(N, C, 2)`."""
        count, channels = values.shape
        if count < k:
            values = np.concatenate([values, np.full((k - count, channels), -np.inf, np.float32)])
            ids = np.concatenate([ids, np.full(k - count, -1)])
            places = np.concatenate([places, np.zeros((k - count, channels, 2), np.int32)])
        best = np.argsort(-values, axis=0, kind="stable")[:k]
        return cls(
            np.ascontiguousarray(np.take_along_axis(values, best, 0).T),
            np.ascontiguousarray(ids[best].T),
            np.ascontiguousarray(np.take_along_axis(places, best[..., None], 0).swapaxes(0, 1)),
        )

    def merged(self, other: Self) -> Self:
        """The strongest of both."""
        values = np.concatenate([self.values, other.values], axis=1)
        images = np.concatenate([self.images, other.images], axis=1)
        places = np.concatenate([self.places, other.places], axis=1)
        best = np.lexsort((np.where(images < 0, np.iinfo(np.int64).max, images), -values))[:, : self.values.shape[1]]
        return type(self)(
            np.take_along_axis(values, best, 1),
            np.take_along_axis(images, best, 1),
            np.take_along_axis(places, best[..., None], 1),
        )


@dataclass(frozen=True)
class Statistics:
    """How strong each channel usually is: over images, of its largest value in the image; arrays `(C,)`.

    `count` images; `mean`, `squares` (the sum of squared distances from it), `least`, `greatest`; `positive`, in how
    many images it is above 0; `histogram` `(C, 97)` over the bins of `EDGES`.
    """

    count: int
    mean: Doubles
    squares: Doubles
    least: Doubles
    greatest: Doubles
    positive: Whole
    histogram: Whole

    @property
    def variance(self) -> Doubles:
        """Over the images; NaN without any."""
        return self.squares / self.count if self.count else np.full_like(self.squares, np.nan)

    @classmethod
    def of(cls, values: Floats) -> Self:
        """Of the values `(N, C)` in so many images."""
        count, channels = values.shape
        if not count:
            zeros, bins = np.zeros(channels), np.zeros((channels, len(EDGES) - 1), np.int64)
            return cls(0, zeros, zeros, zeros + np.inf, zeros - np.inf, bins[:, 0], bins)
        exact = values.astype(np.float64)
        mean = exact.mean(axis=0)
        bins = np.searchsorted(EDGES, exact, side="right") - 1 + np.arange(channels) * (len(EDGES) - 1)
        histogram = np.bincount(bins.ravel(), minlength=channels * (len(EDGES) - 1)).reshape(channels, -1)
        squares = np.square(exact - mean).sum(axis=0)
        positive = (exact > 0).sum(axis=0)
        return cls(count, mean, squares, exact.min(axis=0), exact.max(axis=0), positive, histogram)

    def merged(self, other: Self) -> Self:
        """Of both."""
        count = self.count + other.count
        apart, share = other.mean - self.mean, other.count / count if count else 0.0
        return type(self)(
            count,
            self.mean + apart * share,
            self.squares + other.squares + np.square(apart) * self.count * share,
            np.minimum(self.least, other.least),
            np.maximum(self.greatest, other.greatest),
            self.positive + other.positive,
            self.histogram + other.histogram,
        )


@dataclass(frozen=True)
class Summary:
    """Of one layer over some images."""

    top: Top
    statistics: Statistics

    def merged(self, other: Self) -> Self:
        """Over both; those of `self` come first."""
        return type(self)(self.top.merged(other.top), self.statistics.merged(other.statistics))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All of it as named arrays, for a file."""
        fields = {f"top {name}": value for name, value in vars(self.top).items()}
        return {**fields, **{f"statistics {name}": np.asarray(value) for name, value in vars(self.statistics).items()}}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The same back."""
        parts: dict[str, dict[str, Any]] = {"top": {}, "statistics": {}}
        for key, value in arrays.items():
            part, _, name = key.partition(" ")
            parts[part][name] = int(value) if name == "count" else value
        return cls(Top(**parts["top"]), Statistics(**parts["statistics"]))
