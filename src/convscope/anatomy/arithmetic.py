"""What a layer makes of its input's size, and what it costs: pure numbers, known before any network is built.

A window of K pixels, D apart, that moves S at a time over N pixels with P zeros on each side stands in
(N + 2P − D(K − 1) − 1)/S + 1 places (Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016).
Where that is not a whole number, frameworks round it down and the last pixels may go unseen.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from typing import Literal

from convscope.errors import LayerError

Pair = int | Sequence[int]
"""One number for rows and columns, or one for each."""


@dataclass(frozen=True)
class Axis:
    """A window that moves along one axis; `padding` is what stands before and after the `size` pixels."""

    size: int
    kernel: int
    stride: int
    padding: tuple[int, int]
    dilation: int
    rounds_up: bool = False

    @property
    def reach(self) -> int:
        """Pixels from the window's first to its last, both counted: D(K − 1) + 1."""
        return self.dilation * (self.kernel - 1) + 1

    @property
    def exact(self) -> Fraction:
        """The output's size as the equation has it, whole or not."""
        return Fraction(self.size + sum(self.padding) - self.reach, self.stride) + 1

    @property
    def fits(self) -> bool:
        """Whether the windows end where the padded input does."""
        return self.exact.denominator == 1

    @property
    def output(self) -> int:
        """The output's size: rounded down, or up in ceil mode unless that window would begin beyond the input."""
        if not self.rounds_up:
            return floor(self.exact)
        windows = ceil(self.exact)
        begins_inside = (windows - 1) * self.stride < self.size + self.padding[0]
        return windows if begins_inside else windows - 1

    @property
    def read(self) -> frozenset[int]:
        """The pixels, counted from 0, that some window reads."""
        padded = (
            window * self.stride + tap * self.dilation for window in range(self.output) for tap in range(self.kernel)
        )
        return frozenset(place - self.padding[0] for place in padded if 0 <= place - self.padding[0] < self.size)

    @property
    def unseen(self) -> int:
        """Pixels at the far edge that no window reads."""
        return self.size - 1 - max(self.read, default=-1)

    @property
    def skipped(self) -> int:
        """Pixels before those that no window reads either, since the windows step or reach over them."""
        return self.size - self.unseen - len(self.read)

    @property
    def equation(self) -> str:
        """The equation with its numbers, as on a blackboard: `(39 + 2·0 − 4)/1 + 1 = 36`."""
        before, after = self.padding
        padding = f"2·{before}" if before == after else f"{before} + {after}"
        window = f"{self.kernel}" if self.dilation == 1 else f"{self.dilation}·({self.kernel} − 1) − 1"
        return f"({self.size} + {padding} − {window})/{self.stride} + 1 = {_decimal(self.exact)}"


@dataclass(frozen=True)
class Arithmetic:
    """Sizes and costs of a convolution or a pooling.

    `channels` are the output's. `weights` and `biases` count learned numbers; `multiply_adds` those of one image, the
    biases not counted, and none where only the largest of a window is taken or its mean.
    """

    rows: Axis
    columns: Axis
    channels: int
    weights: int
    biases: int
    multiply_adds: int
    weights_equation: str

    @property
    def output(self) -> tuple[int, int]:
        """Rows and columns of the output."""
        return self.rows.output, self.columns.output

    @property
    def exact(self) -> tuple[Fraction, Fraction]:
        """The output's rows and columns as the equation has them, whole or not."""
        return self.rows.exact, self.columns.exact

    @property
    def fits(self) -> bool:
        """Whether both are whole numbers."""
        return self.rows.fits and self.columns.fits

    @property
    def unseen(self) -> tuple[int, int]:
        """Rows at the bottom and columns at the right of the input that no window reads."""
        return self.rows.unseen, self.columns.unseen

    @property
    def skipped(self) -> tuple[int, int]:
        """Rows and columns further in that no window reads: a stride longer than the window steps over them."""
        return self.rows.skipped, self.columns.skipped

    @property
    def parameters(self) -> int:
        """Everything learned: weights and biases."""
        return self.weights + self.biases

    def explain(self) -> str:
        """A few lines that work it out, one equation each.

        >>> print(convolution((39, 31), 4, filters=20).explain())
        rows: (39 + 2·0 − 4)/1 + 1 = 36
        columns: (31 + 2·0 − 4)/1 + 1 = 28
        output: 36 × 28 × 20
        weights: 4 · 4 · 1 · 20 = 320, with 20 biases 340 parameters
        multiply-adds: 36 · 28 · 320 = 322,560
        """
        rows, columns = self.output
        return "\n".join(
            [
                *_explain_axis("row", self.rows),
                *_explain_axis("column", self.columns),
                f"output: {rows} × {columns} × {self.channels}",
                *self._explain_costs(),
            ]
        )

    def _explain_costs(self) -> list[str]:
        if not self.parameters:
            return ["parameters: none, nothing is learned; channels stay as they are"]
        rows, columns = self.output
        return [
            _explain_parameters(self.weights_equation, self.weights, self.biases),
            f"multiply-adds: {rows} · {columns} · {self.weights:,} = {self.multiply_adds:,}",
        ]


@dataclass(frozen=True)
class Linear:
    """Costs of a fully connected layer: each output has a weight for each input, and needs a multiply-add for each."""

    inputs: int
    outputs: int
    weights: int
    biases: int
    multiply_adds: int

    @property
    def parameters(self) -> int:
        """Everything learned: weights and biases."""
        return self.weights + self.biases

    def explain(self) -> str:
        """One line that works it out.

        >>> print(linear(5040, 10).explain())
        weights: 5,040 · 10 = 50,400, with 10 biases 50,410 parameters
        """
        return _explain_parameters(f"{self.inputs:,} · {self.outputs:,}", self.weights, self.biases)


def convolution(
    input: Pair = (39, 31),
    kernel: Pair = 4,
    *,
    stride: Pair = 1,
    padding: Pair | Literal["same"] = 0,
    dilation: Pair = 1,
    channels: int = 1,
    filters: int = 20,
    bias: bool = True,
    groups: int = 1,
    strict: bool = False,
) -> Arithmetic:
    """Sizes and costs of a convolution of `channels` maps of `input` (rows, columns) pixels with `filters` filters.

    Output = (N + 2P − D(K − 1) − 1)/S + 1 along each axis, rounded down as frameworks do; one map a filter.
    Weights = K · K · channels/groups · filters. A pair gives rows and columns each their own number. `padding="same"`
    keeps the input's size; where it must be uneven, the far side has the zero more. Raises `LayerError` where no such
    layer can be, and with `strict` where the output's size is not a whole number.

    >>> layer = convolution(input=(39, 31), kernel=4, filters=20)
    >>> layer.output, layer.channels, layer.weights, layer.parameters
    ((36, 28), 20, 320, 340)
    >>> convolution(32, kernel=5, stride=2, filters=6, strict=True)
    Traceback (most recent call last):
        ...
    convscope.errors.LayerError: rows: (32 + 2·0 − 5)/2 + 1 = 14.5 is not a whole number; strides that fit: 1, 3, 9; \
no padding fits a stride of 2 here; or strict=False, which rounds down
    """
    for name, value in (("channels", channels), ("filters", filters), ("groups", groups)):
        _check(name, value, at_least=1)
    if channels % groups or filters % groups:
        raise LayerError(
            f"groups={groups} of {channels} channels and {filters} filters; expected a number that divides both"
        )
    rows, columns = _axes(input, kernel, stride, padding, dilation, strict=strict, rounds_up=False)
    weights = rows.kernel * columns.kernel * (channels // groups) * filters
    return Arithmetic(
        rows,
        columns,
        channels=filters,
        weights=weights,
        biases=filters if bias else 0,
        multiply_adds=rows.output * columns.output * weights,
        weights_equation=f"{rows.kernel} · {columns.kernel} · {channels // groups} · {filters}",
    )


def pooling(
    input: Pair = (36, 28),
    kernel: Pair = 2,
    *,
    stride: Pair | None = None,
    padding: Pair = 0,
    dilation: Pair = 1,
    ceil: bool = False,
    channels: int = 20,
    strict: bool = False,
) -> Arithmetic:
    """Sizes of a pooling of `channels` maps of `input` (rows, columns) pixels: each map shrinks, nothing is learned.

    The size follows the same equation as a convolution's; `stride` is the kernel's size unless told. `ceil` rounds up
    instead of down: a last window may then hang over the edge, but never begin beyond it. Raises `LayerError` where no
    such layer can be (a padding beyond half the window would pool nothing but padding), and with `strict` where the
    output's size is not a whole number.

    >>> layer = pooling(input=(36, 28), kernel=2, channels=20)
    >>> layer.output, layer.channels, layer.parameters
    ((18, 14), 20, 0)
    """
    _check("channels", channels, at_least=1)
    stride = kernel if stride is None else stride
    rows, columns = _axes(input, kernel, stride, padding, dilation, strict=strict, rounds_up=ceil)
    for axis in (rows, columns):
        if 2 * axis.padding[0] > axis.kernel:
            raise LayerError(
                f"padding={axis.padding[0]} for a pooling window of {axis.kernel} pixels; "
                f"expected half of it at most, so {axis.kernel // 2}"
            )
    return Arithmetic(rows, columns, channels, weights=0, biases=0, multiply_adds=0, weights_equation="0")


def linear(inputs: int, outputs: int, *, bias: bool = True) -> Linear:
    """Costs of a fully connected layer from `inputs` to `outputs` numbers: inputs × outputs weights, and biases.

    Raises `LayerError` unless both are at least 1.

    >>> linear(18 * 14 * 20, 10).parameters
    50410
    """
    _check("inputs", inputs, at_least=1)
    _check("outputs", outputs, at_least=1)
    weights = inputs * outputs
    return Linear(inputs, outputs, weights, biases=outputs if bias else 0, multiply_adds=weights)


def _axes(
    size: Pair,
    kernel: Pair,
    stride: Pair,
    padding: Pair | str,
    dilation: Pair,
    *,
    strict: bool,
    rounds_up: bool,
) -> tuple[Axis, Axis]:
    sizes = _pair("input", size, at_least=1)
    kernels = _pair("kernel", kernel, at_least=1)
    strides = _pair("stride", stride, at_least=1)
    dilations = _pair("dilation", dilation, at_least=1)
    paddings = _paddings(padding, kernels, strides, dilations)
    rows, columns = (
        Axis(*numbers, rounds_up=rounds_up)
        for numbers in zip(sizes, kernels, strides, paddings, dilations, strict=True)
    )
    for name, axis in (("rows", rows), ("columns", columns)):
        if axis.output < 1:
            raise LayerError(
                f"{name}: a window of {axis.reach} pixels on {axis.size + sum(axis.padding)}, padding counted; "
                "expected it to fit inside: a smaller kernel or dilation, or more padding"
            )
        if strict and not axis.fits:
            raise LayerError(f"{name}: {axis.equation} is not a whole number; {_what_fits(axis)}")
    return rows, columns


def _paddings(
    padding: Pair | str, kernels: tuple[int, int], strides: tuple[int, int], dilations: tuple[int, int]
) -> list[tuple[int, int]]:
    """Padding before and after, for rows and for columns."""
    if not isinstance(padding, str):
        return [(each, each) for each in _pair("padding", padding, at_least=0)]
    if padding != "same":
        raise LayerError(f'padding="{padding}"; expected a number, a pair of them, or "same"')
    if strides != (1, 1):
        raise LayerError(f'padding="same" with stride {strides}; it is defined for stride 1: give a number')
    totals = [dilation * (kernel - 1) for kernel, dilation in zip(kernels, dilations, strict=True)]
    return [(total // 2, total - total // 2) for total in totals]


def _pair(name: str, value: Pair, *, at_least: int) -> tuple[int, int]:
    pair = tuple(value) if isinstance(value, Sequence) else (value, value)
    if len(pair) != 2:
        raise LayerError(f"{name}={value}; expected one number, or two: rows and columns")
    for each in pair:
        _check(name, each, at_least=at_least)
    return pair[0], pair[1]


def _check(name: str, value: object, *, at_least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
        raise LayerError(f"{name}={value!r}; expected a whole number of at least {at_least}")


def _what_fits(axis: Axis) -> str:
    """The strides and paddings nearest to the axis's own that give a whole number."""
    span = axis.size + sum(axis.padding) - axis.reach
    strides = _closest(axis.stride, range(1, span + 1), lambda stride: span % stride == 0)
    # Twice a padding runs through all remainders of an odd stride, but only the even ones of an even stride.
    paddings = _closest(
        axis.padding[0],
        range(axis.padding[0] + 2 * axis.stride),
        lambda padding: (
            axis.size + 2 * padding >= axis.reach and (axis.size + 2 * padding - axis.reach) % axis.stride == 0
        ),
    )
    padding = f"paddings that fit: {paddings}" if paddings else f"no padding fits a stride of {axis.stride} here"
    return f"strides that fit: {strides}; {padding}; or strict=False, which rounds {'up' if axis.rounds_up else 'down'}"


def _closest(value: int, candidates: Sequence[int], fits: Callable[[int], bool]) -> str:
    closest_first = sorted((each for each in candidates if fits(each)), key=lambda each: abs(each - value))
    return ", ".join(map(str, sorted(closest_first[:3])))


def _explain_axis(name: str, axis: Axis) -> list[str]:
    lines = [f"{name}s: {axis.equation}"]
    if not axis.fits:
        lines[0] += f", rounded {'up' if axis.output > axis.exact else 'down'} to {axis.output}"
        lines.append("  " + _left_over(name, axis))
    if axis.skipped:
        lines.append(f"  {_number(axis.skipped, name)} between the windows' pixels: never read")
    return lines


def _left_over(name: str, axis: Axis) -> str:
    overhang = (axis.output - 1) * axis.stride + axis.reach - axis.size - sum(axis.padding)
    if overhang > 0:
        return f"the last window hangs over the edge by {_number(overhang, name)}"
    if axis.unseen:
        return f"the last {_number(axis.unseen, name)} of the input: never read"
    return f"the {_number(-overhang, name)} left over: padding only, so every pixel at the edge is read"


def _number(count: int, name: str) -> str:
    return f"{count} {name}" if count == 1 else f"{count} {name}s"


def _explain_parameters(equation: str, weights: int, biases: int) -> str:
    return f"weights: {equation} = {weights:,}" + (
        f", with {biases:,} biases {weights + biases:,} parameters" if biases else ", no biases"
    )


def _decimal(value: Fraction) -> str:
    """`112.5`, `3`; a fraction that has no short decimal as `37 1/3`."""
    whole, rest = divmod(value.numerator, value.denominator)
    if not rest:
        return str(whole)
    if value.denominator in (2, 4, 5, 8, 10):
        return str(float(value))
    return f"{whole} {rest}/{value.denominator}"
