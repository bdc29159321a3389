"""How space, rectification and cost pass through one call of an operation: the columns of the table in `ops.py`.

`windows` functions say what an output reads along rows and columns (None: the whole map); `axes` functions where the
two spatial axes lie afterwards (None: space is gone); `bounds` functions between which values a rectifier passes its
input on (None: with these arguments it is no rectifier); `cost` functions count multiply-adds for one image.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from convscope.network.geometry import Window

Axes = tuple[int, int]
Windows = tuple[Window, Window]
Bounds = tuple[float, float]


@dataclass(frozen=True)
class Call:
    """One call of an operation: its arguments by name, the shape of the tensor that goes in and of what comes out.

    Where several tensors go in (`add`, `cat`), `input` is the one that is being followed.
    """

    arguments: Mapping[str, Any]
    input: tuple[int, ...] = ()
    output: tuple[int, ...] = ()

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]


def pair(value: Any) -> tuple[int, int]:
    """An int as two of it; a sequence of one or two ints as a pair."""
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    return int(values[0]), int(values[-1])


# Windows -------------------------------------------------------------------------------------------------------------


def same_windows(call: Call, axes: Axes) -> Windows | None:
    return Window(), Window()


def whole_map(call: Call, axes: Axes) -> Windows | None:
    return None


def _paddings(padding: Any, kernel: tuple[int, int], dilation: tuple[int, int]) -> tuple[int, int]:
    if padding == "valid":
        return 0, 0
    if padding == "same":
        return dilation[0] * (kernel[0] - 1) // 2, dilation[1] * (kernel[1] - 1) // 2
    return pair(padding)


def convolution_windows(call: Call, axes: Axes) -> Windows | None:
    kernel, dilation = pair(call["weight"].shape[2:]), pair(call["dilation"])
    paddings = _paddings(call["padding"], kernel, dilation)
    rows, columns = map(Window.sliding, kernel, pair(call["stride"]), paddings, dilation)
    return rows, columns


def transposed_windows(call: Call, axes: Axes) -> Windows | None:
    kernel = pair(call["weight"].shape[2:])
    arguments = kernel, pair(call["stride"]), pair(call["padding"]), pair(call["dilation"])
    rows, columns = map(Window.transposed, *arguments)
    return rows, columns


def pooling_windows(call: Call, axes: Axes) -> Windows | None:
    kernel = pair(call["kernel_size"])
    stride = pair(call["stride"]) if call["stride"] not in (None, [], ()) else kernel
    rows, columns = map(Window.sliding, kernel, stride, pair(call["padding"]), pair(call["dilation"]))
    return rows, columns


def adaptive_windows(call: Call, axes: Axes) -> Windows | None:
    if call.output[-2:] == (1, 1):
        return None
    rows, columns = map(Window.adaptive, call.input[-2:], call.output[-2:])
    return rows, columns


def resize_windows(call: Call, axes: Axes) -> Windows | None:
    taps = {"nearest": 1, "bilinear": 2, "bicubic": 4}.get(call["mode"])
    if taps is None or call["antialias"]:
        return None
    given = call["scale_factor"] if not call["recompute_scale_factor"] else None
    factors = (None, None) if given is None else tuple(given) if isinstance(given, (list, tuple)) else (given, given)
    rows, columns = (
        Window.resized(length, output, factor=factor, taps=taps, align_corners=bool(call["align_corners"]))
        for length, output, factor in zip(call.input[-2:], call.output[-2:], factors, strict=True)
    )
    return rows, columns


def padded_windows(call: Call, axes: Axes) -> Windows | None:
    """Reflection and replication read further in than where they write: by twice the padding at most."""
    left, right, top, bottom = [*call["pad"], 0, 0, 0, 0][:4]
    if call["mode"] == "constant":
        return Window(start=-top), Window(start=-left)
    if call["mode"] not in ("reflect", "replicate"):
        return None
    rows, columns = Window(1, -top - 2 * bottom, 2 * (top + bottom)), Window(1, -left - 2 * right, 2 * (left + right))
    return rows, columns


def shuffled_windows(call: Call, axes: Axes) -> Windows | None:
    window = Window.resized(1, int(call["upscale_factor"]), taps=1)
    return window, window


def unshuffled_windows(call: Call, axes: Axes) -> Windows | None:
    factor = int(call["downscale_factor"])
    return Window(factor, 0, factor - 1), Window(factor, 0, factor - 1)


def indexed_windows(call: Call, axes: Axes) -> Windows | None:
    indices = _dimension_indices(call)
    if indices is None:
        return None
    windows = [_sliced(indices[axis], call.input[axis]) for axis in axes]
    return None if windows[0] is None or windows[1] is None else (windows[0], windows[1])


def _sliced(index: Any, length: int) -> Window | None:
    if not isinstance(index, slice):
        return None
    begin, _, step = index.indices(length)
    return Window(step, begin) if step > 0 else None


def _dimension_indices(call: Call) -> list[Any] | None:
    """What `tensor[…]` says of each dimension: a slice or an int; None where it says more than that."""
    given = list(call["index"]) if isinstance(call["index"], tuple) else [call["index"]]
    if not all(isinstance(part, (int, slice)) or part is Ellipsis for part in given):
        return None
    at = given.index(Ellipsis) if Ellipsis in given else len(given)
    before, after = given[:at], given[at + 1 :]
    return [*before, *[slice(None)] * (len(call.input) - len(before) - len(after)), *after]


# Axes ----------------------------------------------------------------------------------------------------------------


def same_axes(call: Call, axes: Axes) -> Axes | None:
    return axes


def no_axes(call: Call, axes: Axes) -> Axes | None:
    return None


def last_is_channels(call: Call, axes: Axes) -> Axes | None:
    return None if len(call.input) - 1 in axes else axes


def last_are_normalized(call: Call, axes: Axes) -> Axes | None:
    return None if max(axes) >= len(call.input) - len(call["normalized_shape"]) else axes


def reduced_axes(call: Call, axes: Axes) -> Axes | None:
    count, dim = len(call.input), call["dim"]
    given = range(count) if dim is None or isinstance(dim, bool) else dim if isinstance(dim, (list, tuple)) else [dim]
    dims = {each % count for each in given}
    if dims & set(axes):
        return None
    gone = set() if call["keepdim"] else dims
    return axes[0] - sum(each < axes[0] for each in gone), axes[1] - sum(each < axes[1] for each in gone)


def unless_along(call: Call, axes: Axes) -> Axes | None:
    """Space survives what acts along another dimension: softmax over channels, concatenation, splitting."""
    return None if call["dim"] is None or call["dim"] % len(call.output) in axes else axes


def permuted_axes(call: Call, axes: Axes) -> Axes | None:
    order = [dim % len(call.input) for dim in call["dims"]]
    return order.index(axes[0]), order.index(axes[1])


def transposed_axes(call: Call, axes: Axes) -> Axes | None:
    one, other = call["dim0"] % len(call.input), call["dim1"] % len(call.input)
    swap = {one: other, other: one}
    return swap.get(axes[0], axes[0]), swap.get(axes[1], axes[1])


def reshaped_axes(call: Call, axes: Axes) -> Axes | None:
    """An axis survives where one of the same length strides over the same number of places in memory."""
    rows, columns = (_same_place(call.input, axis, call.output) for axis in axes)
    return None if rows is None or columns is None else (rows, columns)


def _same_place(before: tuple[int, ...], axis: int, after: tuple[int, ...]) -> int | None:
    stride = math.prod(before[axis + 1 :])
    for candidate in reversed(range(len(after))):
        if after[candidate] == before[axis] and math.prod(after[candidate + 1 :]) == stride:
            return candidate
    return None


def broadcast_axes(call: Call, axes: Axes) -> Axes | None:
    """Broadcasting lines shapes up from the right; a single row spread over many is no place of its own."""
    shift = len(call.output) - len(call.input)
    moved = axes[0] + shift, axes[1] + shift
    return moved if all(call.output[to] == call.input[at] for to, at in zip(moved, axes, strict=True)) else None


def stacked_axes(call: Call, axes: Axes) -> Axes | None:
    dim = call["dim"] % len(call.output)
    return axes[0] + (dim <= axes[0]), axes[1] + (dim <= axes[1])


def indexed_axes(call: Call, axes: Axes) -> Axes | None:
    """An int takes its dimension away."""
    indices = _dimension_indices(call)
    if indices is None or any(isinstance(indices[axis], int) for axis in axes):
        return None
    gone = [dim for dim, index in enumerate(indices) if isinstance(index, int)]
    return axes[0] - sum(dim < axes[0] for dim in gone), axes[1] - sum(dim < axes[1] for dim in gone)


# Bounds of rectifiers ------------------------------------------------------------------------------------------------


def no_bounds(call: Call) -> Bounds | None:
    return None


def relu_bounds(call: Call) -> Bounds | None:
    return 0.0, math.inf


def relu6_bounds(call: Call) -> Bounds | None:
    return 0.0, 6.0


def clamp_bounds(call: Call) -> Bounds | None:
    return _rectifying(call["min"], call["max"])


def hardtanh_bounds(call: Call) -> Bounds | None:
    return _rectifying(call["min_val"], call["max_val"])


def threshold_bounds(call: Call) -> Bounds | None:
    return (0.0, math.inf) if call["threshold"] == 0 and call["value"] == 0 else None


def _rectifying(low: Any, high: Any) -> Bounds | None:
    """Cut at exactly 0 below, and nowhere or at a positive number above."""
    if not isinstance(low, (int, float)) or low != 0:
        return None
    if high is None:
        return 0.0, math.inf
    return (0.0, float(high)) if isinstance(high, (int, float)) and high > 0 else None


# Costs ---------------------------------------------------------------------------------------------------------------


def no_cost(call: Call) -> int:
    return 0


def _weights_each(call: Call) -> int:
    """Weights that one output of a convolution is made with."""
    per_filter: tuple[int, ...] = tuple(call["weight"].shape[1:])
    return math.prod(per_filter)


def convolution_cost(call: Call) -> int:
    return math.prod(call.output[1:]) * _weights_each(call)


def transposed_cost(call: Call) -> int:
    return math.prod(call.input[1:]) * _weights_each(call)


def linear_cost(call: Call) -> int:
    return math.prod(call.output[1:]) * int(call["weight"].shape[1])


def product_cost(call: Call) -> int:
    return math.prod(call.output[1:]) * call.input[-1]


def attention_cost(call: Call) -> int:
    queries, keys, width = call.input[-2], int(call["key"].shape[-2]), call.input[-1]
    return math.prod(call.input[1:-2]) * queries * keys * (width + int(call["value"].shape[-1]))


def multi_head_cost(call: Call) -> int:
    """Projections of query, key, value and output, and the two products between them; length comes first."""
    width, length = int(call["embed_dim_to_check"]), call.input[0]
    return 4 * length * width * width + 2 * length * length * width
