"""The occluder: a window that is moved over an image, and what it covers it with."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from convscope.errors import ImageError, nearest
from convscope.network.passage import pair

Fill = Literal["gray", "mean", "zero"]
FillLike = Fill | float | Tensor


@dataclass(frozen=True)
class Places:
    """Where the windows lie along one axis of `length` pixels: `size` from each of `starts`, cropped at the border.

    >>> Places.along(10, size=4, stride=4)
    Places(length=10, size=4, starts=(0, 4, 8))
    """

    length: int
    size: int
    starts: tuple[int, ...]

    @classmethod
    def along(cls, length: int, *, size: int, stride: int) -> "Places":
        """Windows at 0, stride, 2·stride, …: ⌈(length − size) / stride⌉ + 1 of them."""
        return cls(length, size, tuple(index * stride for index in range(math.ceil((length - size) / stride) + 1)))

    @property
    def stops(self) -> tuple[int, ...]:
        """Where each window ends, exclusive."""
        return tuple(min(start + self.size, self.length) for start in self.starts)

    def __len__(self) -> int:
        return len(self.starts)


@dataclass(frozen=True)
class Windows:
    """All places of the occluder on an image: every row with every column, counted row by row."""

    rows: Places
    columns: Places

    @classmethod
    def over(cls, image: Tensor, window: int | tuple[int, int], stride: int | tuple[int, int]) -> "Windows":
        """Raises ImageError where the window is larger than the image, or window or stride are below 1."""
        sizes, strides = _pair(window, "window"), _pair(stride, "stride")
        lengths = (image.shape[-2], image.shape[-1])
        if sizes[0] > lengths[0] or sizes[1] > lengths[1]:
            raise ImageError(
                f"a window of {sizes[0]}×{sizes[1]} is larger than the image, {lengths[0]}×{lengths[1]}; take a smaller"
            )
        rows, columns = map(lambda n, w, s: Places.along(n, size=w, stride=s), lengths, sizes, strides)
        return cls(rows, columns)

    @property
    def shape(self) -> tuple[int, int]:
        """How many there are downwards and across."""
        return len(self.rows), len(self.columns)

    def __len__(self) -> int:
        return len(self.rows) * len(self.columns)

    def box(self, index: int) -> tuple[int, int, int, int]:
        """Top, left, bottom and right of one window, the last two exclusive."""
        row, column = divmod(index, len(self.columns))
        return self.rows.starts[row], self.columns.starts[column], self.rows.stops[row], self.columns.stops[column]

    def averaged(self, values: Tensor) -> Tensor:
        """One value a window `(rows, columns)` to pixels `(H, W)`: the mean over the windows that cover each."""
        down, across = (_membership(places).to(values) for places in (self.rows, self.columns))
        covered = down.sum(0)[:, None] * across.sum(0)[None]
        return down.T @ values @ across / covered.clamp(min=1)


def _membership(places: Places) -> Tensor:
    """Which windows `(N)` cover which pixels `(length)`, as ones and zeros."""
    pixels = torch.arange(places.length)
    starts, stops = torch.tensor(places.starts)[:, None], torch.tensor(places.stops)[:, None]
    return ((pixels >= starts) & (pixels < stops)).double()


def _pair(value: int | tuple[int, int], what: str) -> tuple[int, int]:
    values = value if isinstance(value, Sequence) else (value, value)
    if len(values) != 2 or any(not isinstance(each, int) or each < 1 for each in values):
        raise ImageError(f"got {what} {value!r}; expected one or two whole numbers of pixels, each at least 1")
    return pair(values)


def fill_image(fill: FillLike, image: Tensor) -> Tensor | None:
    """What an image `(C, H, W)` is covered with, in its shape; None for "zero", which is 0 after normalization."""
    if isinstance(fill, Tensor):
        if fill.shape[-3:] != image.shape and fill.shape != image.shape[:1]:
            raise ImageError(
                f"got a fill of shape {tuple(fill.shape)}; expected an image of {tuple(image.shape)} or one number a channel"
            )
        fill = fill.to(image)
        return (fill[:, None, None] if fill.dim() == 1 else fill).expand_as(image)
    if isinstance(fill, str):
        if fill not in get_args(Fill):
            raise ImageError(f"unknown fill {fill!r}; {nearest(fill, get_args(Fill))}, a number or an image")
        if fill == "zero":
            return None
        return torch.full_like(image, 0.5) if fill == "gray" else image.mean((1, 2), keepdim=True).expand_as(image)
    return torch.full_like(image, float(fill))
