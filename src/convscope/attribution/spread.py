"""How far a change spreads: which places of every layer the occluder changes, from each of its places on the image.

Along one axis, a layer's outputs that read any of the inputs first … last are again first … last of them
(`Window.affected`), clipped to the map. Starting from the occluder's window, this gives for every layer the smallest
rectangle outside of which nothing differs from the clean image's values. Rows and columns are independent, so all is
kept per axis: one number for each of the occluder's places along it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convscope.network.geometry import Window

Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Track:
    """Along one axis of a map of `length` places, the first and the last that change, for each place of the occluder.

    `loose_first` and `loose_last` are the same on a map without ends: two places of the occluder whose loose tracks
    have the same sizes in all layers lie alike on their strides.
    """

    length: int
    first: Indices
    last: Indices
    loose_first: Indices
    loose_last: Indices

    @classmethod
    def of(cls, length: int, first: Sequence[int], last: Sequence[int]) -> "Track":
        """The occluder's own: it changes the pixels that it covers."""
        both = np.array(first), np.array(last)
        return cls(length, *both, *both)

    @property
    def size(self) -> Indices:
        """How many places change; 0 where nothing reads what the occluder covers."""
        return np.asarray(np.maximum(self.last - self.first + 1, 0))

    @property
    def loose_size(self) -> Indices:
        """How many would on a map without ends, and at most the whole."""
        return np.asarray(np.minimum(self.loose_last - self.loose_first + 1, self.length))

    def through(self, window: Window, length: int) -> "Track":
        """What changes in a map of `length` places that reads this one through `window`."""
        first, last = window.affected(self.first, self.last)
        loose = window.affected(self.loose_first, self.loose_last)
        return Track(length, np.maximum(first, 0), np.minimum(last, length - 1), *loose)

    def union(self, other: "Track") -> "Track":
        """What changes in a map that reads both."""
        firsts = np.minimum(self.first, other.first), np.minimum(self.loose_first, other.loose_first)
        lasts = np.maximum(self.last, other.last), np.maximum(self.loose_last, other.loose_last)
        return Track(self.length, firsts[0], lasts[0], firsts[1], lasts[1])


@dataclass(frozen=True, eq=False)
class Spread:
    """The rectangle of a map that changes: its rows and its columns.

    Where `base` is given, the map is another one moved by `shift` rows and columns, and so is its rectangle.
    """

    rows: Track
    columns: Track
    base: "Spread | None" = None
    shift: tuple[int, int] = (0, 0)

    def through(self, windows: tuple[Window, Window], shape: tuple[int, ...]) -> "Spread":
        """What changes in maps of `shape` `(…, H, W)` that read these through `windows`."""
        if windows == (Window(), Window()) and shape[-2:] == self.shape:
            return self
        return Spread(self.rows.through(windows[0], shape[-2]), self.columns.through(windows[1], shape[-1]))

    def moved(self, rows: int, columns: int, shape: tuple[int, ...]) -> "Spread":
        """What changes in maps of `shape` that hold these from that row and column on."""
        moved = self.through((Window(start=-rows), Window(start=-columns)), shape)
        return self if moved is self else Spread(moved.rows, moved.columns, self, (rows, columns))

    def union(self, other: "Spread") -> "Spread":
        """What changes in maps that read both; the same object where the two are one."""
        if other is self:
            return self
        return Spread(self.rows.union(other.rows), self.columns.union(other.columns))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the map."""
        return self.rows.length, self.columns.length

    @property
    def share(self) -> float:
        """Which part of the map changes, as a mean over the occluder's places."""
        changed = float(self.rows.size.mean() * self.columns.size.mean())
        return changed / (self.rows.length * self.columns.length)


def grouped(tracks: Sequence[Track], least: int) -> list[Indices]:
    """The occluder's places along an axis, in groups that may be computed as one: rectangles of nearly the same sizes.

    Those that lie alike on all strides are together; groups of fewer than `least` are joined with the next larger, the
    last with the one before.
    """
    sizes = np.stack([track.loose_size for track in tracks])
    parts = (sizes / np.array([[track.length] for track in tracks])).sum(axis=0)
    _, kind = np.unique(sizes, axis=1, return_inverse=True)
    alike = sorted((np.flatnonzero(kind == each) for each in range(kind.max() + 1)), key=lambda one: parts[one[0]])
    groups = [alike[0]]
    for places in alike[1:]:
        if len(groups[-1]) < least:
            groups[-1] = np.concatenate([groups[-1], places])
        else:
            groups.append(places)
    if len(groups) > 1 and len(groups[-1]) < least:
        groups[-2:] = [np.concatenate(groups[-2:])]
    return [np.sort(each) for each in groups]
