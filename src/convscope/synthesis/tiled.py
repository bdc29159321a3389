"""The gradient of an objective with respect to a picture of any size, window by window where it is large.

A gradient needs memory for all that lies between the picture and the layer: ten gigabytes for 12 million pixels. So a
large picture is covered by windows of one size, and each gives the gradient of the part in its middle, its core:

    |<-- margin -->|<------ core ------>|<-- margin -->|

The margin is what the network sees around the core. A pixel's gradient comes from the units that see it, and what they
answer from all the pixels that they see: a margin as wide as a receptive field makes it exact. For deep layers that
would be hundreds of pixels, of which the outer ones count for little, and 64 it is at most. What that leaves of a seam
lies elsewhere at each step, since the grid of cores begins at a random place: it averages out. Windows begin at
multiples of the layer's stride, so that its units lie where they would without windows.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from convscope.errors import ImageError, NetworkError, TargetError
from convscope.network.differentiable import Differentiable
from convscope.network.memory import bytes_needed, check_memory
from convscope.network.network import Network
from convscope.synthesis.objectives import Objective, Seen

Size = tuple[int, int]

MARGIN = 64
"""Pixels around a core that a window also holds, at most."""
# What a picture may need without windows, and a window: by fixed amounts and not by what is free, since the same
# parameters are to give the same pixels wherever there is enough.
_WHOLE = 1024 * 2**20
_WINDOW = 384 * 2**20
_SIDES = 64
_LARGEST = 768
# For networks of which it is not known what they need.
_UNKNOWN = 512
# Where the layer's own is not known.
_STRIDE = 32


@dataclass(frozen=True)
class Span:
    """Along one axis: where a window begins, and its core, from `first` up to `last`."""

    begin: int
    first: int
    last: int


def spans(side: int, length: int, draw: Generator, *, margin: int, stride: int) -> list[Span]:
    """Windows of `length` whose cores cover an axis of `side` pixels, each pixel once; where they begin is drawn.

    Windows lie within the axis, so that at its ends the margin is on the inner side alone. But for the last, they begin
    at multiples of `stride`, of which `margin` is one. There are as few of them as let the borders between cores lie at
    different places, over a range of two margins at least.

    >>> spans(20, 10, torch.Generator().manual_seed(0), margin=2, stride=2)
    [Span(begin=0, first=0, last=6), Span(begin=4, first=6, last=12), Span(begin=10, first=12, last=18), \
Span(begin=10, first=18, last=20)]
    >>> spans(8, 10, torch.Generator(), margin=2, stride=2)
    [Span(begin=0, first=0, last=8)]
    """
    if side <= length:
        return [Span(0, 0, side)]
    core, end = _whole(length - 2 * margin, stride), _whole(length - margin, stride)
    between = max(0, math.ceil((side + 2 * margin - 2 * end) / core))
    rest = side - between * core
    lowest, highest = max(1, math.ceil((rest - end) / stride)), min(end, rest - 1) // stride
    first = stride * int(torch.randint(lowest, highest + 1, (), generator=draw))
    edges = [0, *range(first, first + between * core + 1, core), side]
    return [Span(min(max(begin - margin, 0), side - length), begin, last) for begin, last in pairwise(edges)]


def tile_for(network: Network, objective: Objective, size: Size) -> int | None:
    """The side of windows for a picture of this size; None where it can be seen as a whole.

    >>> import convscope as cs
    >>> from convscope.synthesis.objectives import energy
    >>> tile_for(cs.load("efficientnet-lite0"), energy("blocks.4"), (3000, 4000))
    640
    """
    layers = () if objective.whole else objective.layers
    needed = bytes_needed(network, (network.channels, *size), 1, layers=layers)
    if not needed:
        return _UNKNOWN if math.prod(size) > 4 * _UNKNOWN**2 else None
    if needed <= _WHOLE:
        return None
    side = math.sqrt(math.prod(size) * _WINDOW / needed)
    return min(max(int(side) // _SIDES, 1) * _SIDES, _LARGEST)


class Uphill:
    """An objective and its gradient for pictures `(1, C, H, W)` of any size.

    `tile` is the side of the windows that larger pictures are seen through. A network that can't run on the size that
    is left, because it takes one size alone or the picture is too small for it, is shown windows of its input size,
    continued beyond the picture's edges by the pixels there.

    Raises
    ------
    NetworkError
        A window would need more memory than there is.
    ImageError
        For a tile that is no size.
    """

    def __init__(self, network: Network, objective: Objective, *, tile: int | None = None) -> None:
        if tile is not None and tile < 1:
            raise ImageError(f"got tile={tile}, expected a number of pixels, such as 512")
        self._network, self._objective, self._tile = network, objective, tile
        self._stride, self._field = _geometry(network, objective)
        self._networks: dict[Size, Differentiable] = {}
        self._windows: dict[Size, Size] = {}

    def __call__(self, picture: Tensor, draw: Generator, *, redirect: bool = False) -> tuple[Tensor, Tensor]:
        """The value `()`, over windows the mean by their cores' areas, and the gradient in the picture's shape.

        `draw` decides where the grid of windows begins. `redirect` is as for `Differentiable`.
        """
        size = (picture.shape[-2], picture.shape[-1])
        window = self._window(size)
        gradient = torch.empty_like(picture)
        total = picture.new_zeros(())
        for down, across in self._places(size, window, draw):
            seen = _cut(picture, down, across, window)
            value, slope = self._seen(seen.detach().requires_grad_(), redirect)
            core = (..., slice(down.first, down.last), slice(across.first, across.last))
            gradient[core] = slope[..., _inside(down), _inside(across)]
            total += value * ((down.last - down.first) * (across.last - across.first) / math.prod(size))
        return total, gradient

    def _seen(self, images: Tensor, redirect: bool) -> tuple[Tensor, Tensor]:
        run = self._networks[images.shape[-2], images.shape[-1]]
        with torch.enable_grad():
            value = self._objective.value(Seen(images, run(images, redirect=redirect)))
            if value.shape != (1,):
                raise TargetError(f"an objective gave shape {tuple(value.shape)}, expected one number an image, (N,)")
            if not value.requires_grad:
                raise TargetError(f"the objective {self._objective.text!r} doesn't depend on the image")
            (gradient,) = torch.autograd.grad(value.sum(), images)
        return value.detach()[0], gradient

    def _places(self, size: Size, window: Size, draw: Generator) -> Iterator[tuple[Span, Span]]:
        """All windows, row by row."""
        axes = []
        for side, length in zip(size, window, strict=True):
            stride = self._stride if length >= 4 * self._stride else 1
            # No more than a quarter of a small window.
            margin = min(math.ceil(min(self._field, MARGIN) / stride) * stride, _whole(length // 4, stride))
            axes.append(spans(side, length, draw, margin=margin, stride=stride))
        return ((down, across) for down in axes[0] for across in axes[1])

    def _window(self, size: Size) -> Size:
        """The windows' rows and columns for a picture of this size; what runs them is made where it is not there."""
        if size not in self._windows:
            rows, columns = (side if self._tile is None else min(side, self._tile) for side in size)
            self._windows[size] = self._runs_at((rows, columns))
        return self._windows[size]

    def _runs_at(self, window: Size) -> Size:
        """This size, or the network's input size where the network can't run on it."""
        channels, objective = self._network.channels, self._objective
        check_memory(self._network, (channels, *window), 1, layers=() if objective.whole else objective.layers)
        try:
            self._network.layers_for(torch.zeros(channels, *window))
        except NetworkError:
            if window == self._network.input_size:
                raise
            return self._runs_at(self._network.input_size)
        if window not in self._networks:
            self._networks[window] = Differentiable(
                self._network, (channels, *window), layers=objective.layers, whole=objective.whole
            )
        return window


def _geometry(network: Network, objective: Objective) -> tuple[int, int]:
    """The largest stride of the layers that are asked for, and their largest receptive field, in pixels."""
    fields = [network.layers[name].receptive_field for name in objective.layers]
    known = [each for each in fields if each is not None and not each.whole]
    if objective.whole or len(known) < len(fields) or not known:
        return _STRIDE, MARGIN
    strides = [math.ceil(along) for each in known for along in each.stride]
    return max(1, *strides), max(along for each in known for along in each.size)


def _whole(pixels: int, stride: int) -> int:
    """The most whole strides in so many pixels, in pixels."""
    return pixels // stride * stride


def _inside(span: Span) -> slice:
    """The core within the window."""
    return slice(span.first - span.begin, span.last - span.begin)


def _cut(picture: Tensor, down: Span, across: Span, window: Size) -> Tensor:
    """A window of the picture, continued by its edge where it is smaller."""
    rows, columns = window
    seen = picture[..., down.begin : down.begin + rows, across.begin : across.begin + columns]
    missing = rows - seen.shape[-2], columns - seen.shape[-1]
    return F.pad(seen, (0, missing[1], 0, missing[0]), mode="replicate") if any(missing) else seen
