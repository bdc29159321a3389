"""A network's layers for a picture of any size, seen through windows, each place exactly as in the whole.

A place of a layer depends on the pixels of its receptive field alone. So a window gives the places of its core as the
whole picture would, if it reaches so far beyond the core that their fields lie within it, and begins where all strides
begin:

    |<-- before -->|<------ core ------>|<-- after -->|

At the picture's edges a window ends there, too, and the network's own padding is that of the whole. Cores cover the
picture, each place once; unlike `tiled.py`, which shortens margins for speed, nothing is left to average out.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from convscope.errors import ImageError, NetworkError
from convscope.network.differentiable import Differentiable
from convscope.network.graph import Graph
from convscope.network.memory import bytes_needed
from convscope.network.network import Network

Size = tuple[int, int]

# What a picture may need as a whole, and a window: by fixed amounts and not by what is free, since the same parameters
# are to give the same picture wherever there is enough.
_WHOLE = 2 * 2**30
_WINDOW = 2**30
# Of a window, what its core must be at least: else the same is computed again and again, and windows are not worth it.
_CORE = 1 / 3


@dataclass(frozen=True)
class Span:
    """Along one axis: a window's pixels, from `begin` up to `end`, and those of its core, from `first` up to `last`."""

    begin: int
    end: int
    first: int
    last: int


@dataclass(frozen=True)
class Axis:
    """Along one axis: pixels that windows begin at multiples of, what they hold around a core, and layers' strides.

    Pictures of `shortest` pixels are those that the network is known to run on.
    """

    stride: int
    before: int
    after: int
    strides: Mapping[str, int]
    shortest: int = 1

    @property
    def least(self) -> int:
        """The shortest windows with a core that the network runs on, though the last is almost a stride shorter."""
        return max(self.before + self.after, _up(self.shortest - 1, self.stride)) + self.stride

    def spans(self, side: int, length: int) -> list[Span]:
        """Windows of at most `length` whose cores cover `side` pixels: as few as can be, and no longer than needed.

        >>> Axis(2, 2, 2, {}).spans(17, 10)
        [Span(begin=0, end=10, first=0, last=8), Span(begin=6, end=16, first=8, last=14), \
Span(begin=8, end=17, first=14, last=17)]
        """
        lengths = range(self.least, length + 1, self.stride)
        if side <= length or not lengths:
            return [Span(0, side, 0, side)]
        count = len(self._spans(side, lengths[-1]))
        return next(found for each in lengths if len(found := self._spans(side, each)) == count)

    def _spans(self, side: int, length: int) -> list[Span]:
        if side <= length:
            return [Span(0, side, 0, side)]
        found, first = [], 0
        # The last one ends with the picture, and may be shorter to begin at a multiple of the stride.
        final = _up(side - length, self.stride)
        while max(first - self.before, 0) < final:
            begin = max(first - self.before, 0)
            found.append(Span(begin, begin + length, first, begin + length - self.after))
            first = found[-1].last
        return [*found, Span(final, side, first, side)]

    def places(self, span: Span, side: int, layer: str, seen: int) -> tuple[slice, slice]:
        """The core's places in a layer, within the window's `seen` of them and within those of the whole picture."""
        stride = self.strides[layer]
        skipped = span.begin // stride
        first = min(span.first // stride - skipped, seen)
        last = seen if span.last == side else min(span.last // stride - skipped, seen)
        return slice(first, last), slice(skipped + first, skipped + last)


Window = tuple[Span, Span]
Places = tuple[slice, slice]


@dataclass(frozen=True)
class Part:
    """What a window's core shows: a layer's `features` `(C, h, w)`, and the `places` they have in the whole."""

    features: Tensor
    places: Places


class ExactWindows:
    """Runs `network` up to `layers` on pictures `(C, H, W)` in windows of at most `tile` pixels a side.

    Raises
    ------
    NetworkError
        A layer sees the whole picture, or what windows show is not what the whole shows.
    ImageError
        For a tile that is too small for what the layers see.
    """

    def __init__(self, network: Network, layers: Sequence[str], tile: int) -> None:
        axes = axes_of(network, layers)
        if axes is None:
            raise NetworkError(
                f"{network.name} can't be seen in windows: a layer among {', '.join(layers)} sees the whole picture; "
                "leave tile out"
            )
        least = max(each.least for each in axes)
        if tile < least:
            raise ImageError(f"got tile={tile}, expected at least {least}: so far see {', '.join(layers)}")
        self.tile = tile
        self._network, self._layers, self._axes = network, tuple(layers), axes
        self._runs: dict[Graph | Size, Differentiable] = {}
        self._check()

    def over(self, size: Size) -> list[Window]:
        """The windows of a picture of this size."""
        return self._over(size, self.tile)

    def _over(self, size: Size, tile: int) -> list[Window]:
        rows, columns = (axis.spans(side, tile) for axis, side in zip(self._axes, size, strict=True))
        return [(down, across) for down in rows for across in columns]

    def cut(self, picture: Tensor, window: Window) -> Tensor:
        """Of a picture `(C, H, W)`, the pixels of a window."""
        down, across = window
        return picture[:, down.begin : down.end, across.begin : across.end]

    def seen(self, pixels: Tensor, window: Window, size: Size) -> dict[str, Part]:
        """What the core of a window shows; gradients flow to its `pixels`."""
        shown = self._run(pixels)(pixels[None]).layers
        parts = {}
        for name, (features,) in ((name, each) for name, each in shown.items()):
            here, there = zip(
                *(
                    axis.places(span, side, name, count)
                    for axis, span, side, count in zip(self._axes, window, size, features.shape[-2:], strict=True)
                ),
                strict=True,
            )
            parts[name] = Part(features[(..., *here)], (there[0], there[1]))
        return parts

    def parts(self, picture: Tensor) -> Iterator[dict[str, Part]]:
        """What each window of a picture `(C, H, W)` shows, without gradients.

        The last one comes first: where its places end, those of the whole do.
        """
        return self._parts(picture, self.tile)

    def _parts(self, picture: Tensor, tile: int) -> Iterator[dict[str, Part]]:
        size = (picture.shape[-2], picture.shape[-1])
        for window in reversed(self._over(size, tile)):
            with torch.no_grad():
                found = self.seen(self.cut(picture, window), window, size)
            yield found

    def _run(self, pixels: Tensor) -> Differentiable:
        """What runs windows of this size; those of one graph share it."""
        channels, rows, columns = pixels.shape
        graph = self._network.graph((channels, rows, columns))
        key = graph or (rows, columns)
        if key not in self._runs:
            self._runs[key] = Differentiable(self._network, (channels, rows, columns), layers=self._layers, whole=False)
        return self._runs[key]

    def _check(self) -> None:
        """On a small picture: what the table of operations doesn't know may see further, or depend on the size."""
        rows, columns = (axis.least + axis.stride for axis in self._axes)
        draw = torch.Generator().manual_seed(0)
        picture = torch.rand(self._network.channels, rows, columns, generator=draw)
        expected = self._network.capture(picture, self._layers)
        least = max(axis.least for axis in self._axes)
        found: dict[str, Tensor] = {}
        for parts in self._parts(picture.to(self._network.device, self._network.dtype), least):
            put_together(found, parts)
        for name, each in expected.items():
            tolerance = 1e-3 * float(each.abs().max())
            if found[name].shape != each.shape or not torch.allclose(found[name], each, rtol=1e-3, atol=tolerance):
                raise NetworkError(
                    f"{self._network.name} can't be seen in windows: {name} then shows something else; leave tile out"
                )


def put_together(maps: dict[str, Tensor], parts: Mapping[str, Part]) -> None:
    """Put what a window shows to its place in `maps` `(C, h, w)`, of which the last window makes the room."""
    for name, part in parts.items():
        rows, columns = part.places
        if name not in maps:
            maps[name] = part.features.new_empty(len(part.features), rows.stop, columns.stop)
        maps[name][:, rows, columns] = part.features


def axes_of(network: Network, layers: Sequence[str]) -> tuple[Axis, Axis] | None:
    """What windows must keep along rows and columns; None where a layer sees the whole picture or is not traced."""
    fields = {name: network.layers[name].receptive_field for name in layers}
    axes = []
    for index in range(2):
        strides, starts, reaches = {}, [0], [0]
        for name, field in fields.items():
            if field is None or field.whole or not network.layers[name].has_space:
                return None
            window = (field.rows, field.columns)[index].window
            if not isinstance(window.stride, int) or window.stride < 1:
                return None
            strides[name] = window.stride
            starts.append(math.ceil(-window.start))
            reaches.append(math.ceil(window.start + window.reach) - window.stride + 1)
        stride = math.lcm(*strides.values())
        before, after = (_up(max(each), stride) for each in (starts, reaches))
        axes.append(Axis(stride, before, after, strides, network.input_size[index]))
    return axes[0], axes[1]


def _up(pixels: int, stride: int) -> int:
    """The fewest whole strides that are as long, in pixels."""
    return math.ceil(pixels / stride) * stride


def window_for(network: Network, layers: Sequence[str], sizes: Sequence[Size]) -> int | None:
    """The side of windows for pictures of these sizes; None where each can be seen as a whole, or none in windows.

    >>> import convscope as cs
    >>> window_for(cs.load("efficientnet-lite0"), ["blocks.4"], [(3000, 4000)])
    1112
    """

    def needed(size: Size) -> int:
        return bytes_needed(network, (network.channels, *size), 1, layers=tuple(layers))

    largest = max(sizes, key=math.prod)
    if needed(largest) <= _WHOLE:
        return None
    axes = axes_of(network, layers)
    if axes is None:
        return None
    stride = math.lcm(*(axis.stride for axis in axes))
    side = int(math.sqrt(math.prod(largest) * _WINDOW / needed(largest))) // stride * stride
    cores = math.prod(max(0, side - axis.before - axis.after) for axis in axes)
    enough = side >= max(axis.least for axis in axes) and cores >= _CORE * side**2
    return side if enough else None
