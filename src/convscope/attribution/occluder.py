"""The occluder: a window that is moved over an image, and what it covers it with."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from convscope.attribution.canvas import canvas
from convscope.errors import ImageError
from convscope.network.network import Network
from convscope.network.normalization import Normalization

Fill = Literal["gray", "mean", "zero"]
FillLike = Fill | float | Sequence[float] | Tensor
Box = tuple[int, int, int, int]


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
        """Windows at 0, stride, 2·stride, …: ⌈(length − size) / stride⌉ + 1 of them, none beyond the last pixel."""
        count = math.ceil((length - size) / stride) + 1
        return cls(length, size, tuple(range(0, length, stride)[:count]))

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

    def box(self, row: int, column: int) -> Box:
        """Top, left, bottom and right of one window, the last two exclusive."""
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


def _pair(value: Any, what: str) -> tuple[int, int]:
    values = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(values) != 2 or any(not isinstance(each, int) or each < 1 for each in values):
        raise ImageError(f"got {what} {value!r}; expected one or two whole numbers of pixels, each at least 1")
    return values[0], values[1]


class Cover:
    """What a network is fed where the occluder lies on an image `(C, H, W)`.

    A normalization of each pixel by itself is done once; any other function is called on every occluded image, since
    what it makes of a place may depend on the rest.
    """

    def __init__(self, network: Network, image: Tensor, fill: FillLike) -> None:
        self._network, self.image = network, image
        # "zero" is 0 after normalization, so no image.
        self._picture = (
            None if isinstance(fill, str) and fill == "zero" else canvas(fill, image, names=get_args(Fill), what="fill")
        )
        self.clean = network.feed(image[None])
        self._fed: Tensor | None = None
        if self._picture is None:
            self._fed = torch.zeros_like(self.clean)
            if not self.keeps_places:
                raise ImageError(
                    f"the network is fed {tuple(self.clean.shape[1:])} for an image of {tuple(image.shape)}, so that "
                    "a window has no place there to be 0 in; choose another fill"
                )
        elif isinstance(network.normalize, Normalization):
            self._fed = network.feed(self._picture[None])

    @property
    def keeps_places(self) -> bool:
        """Whether what the network is fed has the rows and columns of the image."""
        return self.clean.shape[-2:] == self.image.shape[-2:]

    def within(self, boxes: Sequence[Box]) -> Tensor:
        """What lies within each window: one map `(1, C, H, W)` for all, or a whole fed image `(B, C, H, W)` each."""
        if self._fed is not None:
            return self._fed
        assert self._picture is not None
        return self._network.feed(_pasted(self.image[None], self._picture[None], boxes))

    def whole(self, boxes: Sequence[Box]) -> Tensor:
        """What the network is fed for each window, `(B, C, H, W)`."""
        within = self.within(boxes)
        return within if self._fed is None else _pasted(self.clean, within, boxes)

    def spills(self, within: Tensor, boxes: Sequence[Box]) -> bool:
        """Whether covering a window changed what the network is fed outside of it."""
        return self._fed is None and not torch.equal(_pasted(self.clean, within, boxes), within)


def _pasted(image: Tensor, picture: Tensor, boxes: Sequence[Box]) -> Tensor:
    """Copies of `image` `(1, …)`, each with its window cut from `picture` `(1 or B, …)`."""
    copies = image.repeat(len(boxes), 1, 1, 1)
    for index, (top, left, bottom, right) in enumerate(boxes):
        source = picture[index if len(picture) > 1 else 0]
        copies[index, :, top:bottom, left:right] = source[:, top:bottom, left:right]
    return copies
