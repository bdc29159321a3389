"""The arithmetic of windows: which inputs an output reads, along one axis and through many operations.

Every operation that has space is, along one axis, the same affine statement: output `i` reads the inputs
`floor(i·stride + start) … floor(i·stride + start + reach)`. Composing such statements gives receptive fields; the
derivation and its history are in Araujo, Norris and Sim, "Computing Receptive Fields of Convolutional Neural Networks",
Distill 2019.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

Number = int | Fraction
Places = Any  # int or array of ints: index arithmetic is the same


@dataclass(frozen=True, slots=True)
class Window:
    """Along one axis, output `i` reads the inputs `floor(i·stride + start) … floor(i·stride + start + reach)`.

    >>> Window.sliding(kernel=3, stride=2, padding=1)
    Window(stride=2, start=-1, reach=2)
    >>> Window.sliding(kernel=3, stride=2, padding=1).reads(0, 1)
    (-1, 3)
    """

    stride: Number = 1
    start: Number = 0
    reach: Number = 0

    @classmethod
    def sliding(cls, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> "Window":
        """A convolution or a pooling."""
        return cls(stride, -padding, dilation * (kernel - 1))

    @classmethod
    def transposed(cls, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> "Window":
        """A transposed convolution: output `o` gets input `i` where `o = i·stride − padding + k·dilation`."""
        extent = dilation * (kernel - 1)
        start = Fraction(padding - extent + stride - 1, stride)
        return _tight(Fraction(1, stride), start, Fraction(padding, stride) - start)

    @classmethod
    def adaptive(cls, length: int, output: int) -> "Window":
        """Adaptive pooling of `length` places to `output` of them."""
        return _tight(Fraction(length, output), Fraction(0), Fraction(length - 1, output))

    @classmethod
    def resized(
        cls, length: int, output: int, *, taps: int, factor: float | None = None, align_corners: bool = False
    ) -> "Window":
        """Interpolation that reads `taps` neighbours: 1 nearest, 2 linear, 4 cubic.

        By `factor` if one was given, which is not quite `output / length` where that is no whole number.
        """
        scale = Fraction(length, output) if factor is None else 1 / Fraction(factor).limit_denominator(10_000)
        if taps == 1:
            return _tight(scale, Fraction(0), Fraction(0))
        if align_corners:
            scale, centre = Fraction(length - 1, max(output - 1, 1)), Fraction(0)
        else:
            centre = (scale - 1) / 2
        return _tight(scale, centre - (taps // 2 - 1), Fraction(taps - 1))

    @property
    def size(self) -> int:
        """Places read by one output, counted between the first and the last."""
        return math.ceil(self.reach) + 1

    def reads(self, first: int, last: int) -> tuple[int, int]:
        """First and last input that the outputs `first … last` read; padding counts as places outside."""
        return math.floor(first * self.stride + self.start), math.floor(last * self.stride + self.start + self.reach)

    def affected(self, first: Places, last: Places) -> tuple[Places, Places]:
        """First and last output that read any of the inputs `first … last`; also for arrays of them.

        >>> Window.sliding(3, stride=2, padding=1).affected(4, 4)
        (2, 2)
        """
        return -((self.start + self.reach - first) // self.stride), -((self.start - last - 1) // self.stride) - 1

    def after(self, inner: "Window") -> "Window":
        """This window on a map whose places are themselves windows on something below.

        Exact for whole strides. A fractional one is widened by what rounding down can cost, so that nothing read is
        left out.

        >>> Window.sliding(3).after(Window.sliding(3, stride=2, padding=1))
        Window(stride=2, start=-1, reach=6)
        """
        rounding = 1 - Fraction(1, _denominator(self))
        start, reach = self.start - rounding, self.reach + rounding
        stride = Fraction(inner.stride)
        return _tight(self.stride * stride, start * stride + inner.start, reach * stride + inner.reach)

    def union(self, other: "Window") -> "Window | None":
        """The window that covers both; None where they move at different strides."""
        if self.stride != other.stride:
            return None
        start = min(self.start, other.start)
        return Window(self.stride, start, max(self.start + self.reach, other.start + other.reach) - start)


def _denominator(window: Window) -> int:
    parts = (Fraction(part) for part in (window.stride, window.start, window.reach))
    return math.lcm(*(part.denominator for part in parts))


def _tight(stride: Fraction, start: Fraction, reach: Fraction) -> Window:
    """The same window in whole numbers where its stride is one, since what it reads is rounded down anyway."""
    if stride.denominator > 1:
        return Window(stride, start, reach)
    first = math.floor(start)
    return Window(int(stride), first, math.floor(start + reach) - first)


@dataclass(frozen=True, slots=True)
class Sight:
    """Along one axis, the pixels that a unit sees: those its window reads, as far as they lie in `first … last`.

    The limits are what the existing units below can see. They are the picture's edges, but where rounding down leaves
    some of its last pixels unseen.
    """

    window: Window
    first: int
    last: int

    @classmethod
    def of_pixels(cls, length: int) -> "Sight":
        """Each pixel sees itself."""
        return cls(Window(), 0, length - 1)

    @classmethod
    def of_all(cls, length: int) -> "Sight":
        """Every unit sees every pixel."""
        return cls(Window(0, 0, length - 1), 0, length - 1)

    def through(self, window: Window, length: int) -> "Sight":
        """What units see that read this axis, of `length` units, through `window`."""
        first, last = self.window.reads(0, length - 1)
        return Sight(window.after(self.window), max(self.first, first), min(self.last, last))

    def union(self, other: "Sight") -> "Sight | None":
        """What units see that read both; None where the two move at different strides."""
        window = self.window.union(other.window)
        if window is None:
            return None
        return Sight(window, min(self.first, other.first), max(self.last, other.last))

    def pixels(self, unit: int) -> tuple[int, int]:
        """First and last pixel that a unit sees; the last is before the first where it sees none."""
        first, last = self.window.reads(unit, unit)
        return max(first, self.first), min(last, self.last)


@dataclass(frozen=True, slots=True)
class ReceptiveField:
    """The pixels that the units of a layer can see, along rows and columns.

    `whole` is true where every unit sees the whole image: behind global pooling, a fully connected layer, attention, a
    normalization by the statistics of the map.
    """

    rows: Sight
    columns: Sight
    whole: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels, padding included."""
        return self.rows.window.size, self.columns.window.size

    @property
    def stride(self) -> tuple[Number, Number]:
        """Pixels from one unit's field to its neighbour's."""
        return self.rows.window.stride, self.columns.window.stride

    @property
    def start(self) -> tuple[Number, Number]:
        """Row and column of the first pixel that unit (0, 0) sees; negative where it begins in the padding."""
        return self.rows.window.start, self.columns.window.start

    def box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """Pixels seen by one unit, as top, left, bottom, right; the last two are exclusive.

        >>> axis = Sight.of_pixels(9).through(Window.sliding(3, 2, 1), 9)
        >>> ReceptiveField(axis, axis).box(0, 4)
        (0, 7, 2, 9)
        """
        (top, bottom), (left, right) = self.rows.pixels(row), self.columns.pixels(column)
        return top, left, bottom + 1, right + 1

    def __str__(self) -> str:
        if self.whole:
            return "whole image"
        rows, columns = self.size
        return f"{rows}" if rows == columns else f"{rows}×{columns}"
