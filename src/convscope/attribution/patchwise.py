"""What each operation does to patches: the calls of a network that can be made on changed rectangles alone.

`Sliding` windows read a patch with what lies around it; `Positionwise` calls see each place by itself, of several maps
the same place; `Moved` is the same patch elsewhere; `GlobalMean` corrects the clean mean. All other calls are `Whole`:
they get whole maps, and what follows is computed whole.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from convscope.attribution.patches import Patches, Span
from convscope.attribution.spread import Spread
from convscope.network.folding import uses_batch_statistics
from convscope.network.geometry import Window
from convscope.network.graph import Graph, Values, resolved
from convscope.network.ops import Operation, name_of, operation_of
from convscope.network.passage import Bounds, Call, Windows
from convscope.network.trace import Ref, leaves_of, map_leaves, refs_in

_SPACE = (2, 3)
_STILL = (Window(), Window())
# Kinds of calls that give on a patch what they give there on the whole map; activations do, too.
_POSITIONWISE = frozenset(
    {"pointwise", "dropout", "batch norm", "normalize", "softmax", "add", "subtract", "multiply", "divide", "select"}
    | {"concatenation", "split", "gated linear unit", "reduction", "index"}
)
# Tensors among their arguments are one number a channel, whatever their shape.
_PER_CHANNEL = frozenset("batch_norm prelu".split())


@dataclass(frozen=True, eq=False)
class Step(ABC):
    """One call of the graph. `spread` is that of its value, None where that is computed whole."""

    node: int
    spread: Spread | None

    @abstractmethod
    def run(self, graph: Graph, patches: Patches, values: Values) -> Any:
        """Its value for the batch of windows: patches, or whole where `spread` is None."""


class Whole(Step):
    """A call on whole maps."""

    def run(self, graph: Graph, patches: Patches, values: Values) -> Any:
        node = graph.nodes[self.node]
        for ref in refs_in((node.args, node.kwargs)):
            if graph.constant[ref.node]:
                values[ref.node] = graph.nodes[ref.node].value
            elif values[ref.node] is None:
                values[ref.node] = wholes(ref, patches)
        return graph.call(self.node, values, len(patches.batch))


def wholes(ref: Ref, patches: Patches) -> Any:
    """A node's value as whole maps; all the items of it that there are, if it has several."""
    if ref.item is None:
        return patches.whole(ref)
    items = {each.item: patches.whole(each) for each in patches.made if each.node == ref.node}
    return [items.get(item) for item in range(1 + max(item for item in items if item is not None))]


@dataclass(frozen=True, eq=False)
class Sliding(Step):
    """A convolution or pooling: `function` without padding, on what the windows of the patch read."""

    spread: Spread
    source: Ref
    windows: Windows
    function: Callable[[Tensor], Tensor]
    lowest: bool = False
    divisors: Tensor | None = None

    def run(self, graph: Graph, patches: Patches, values: Values) -> Any:
        rows, columns = patches.rectangle(self.spread)
        if self.windows == _STILL and self.spread is patches.spreads[self.source]:
            read = patches.made[self.source]
        else:
            read = patches.around(
                self.source, _read(rows, self.windows[0]), _read(columns, self.windows[1]), lowest=self.lowest
            )
        result = self.function(read)
        if self.divisors is None:
            return result
        return result / patches.at(self.divisors, rows, columns, self.spread.shape[1])


def _read(written: Span, window: Window) -> Span:
    """The places that a span of outputs reads."""
    stride, start, reach = int(window.stride), int(window.start), int(window.reach)
    return Span(written.start * stride + start, (written.count - 1) * stride + reach + 1)


@dataclass(frozen=True, eq=False)
class Moved(Step):
    """Padding with a constant: the same patch in a map that may be larger."""

    source: Ref

    def run(self, graph: Graph, patches: Patches, values: Values) -> Any:
        return patches.made[self.source]


@dataclass(frozen=True, eq=False)
class Positionwise(Step):
    """A call that computes each place from the same place of its inputs. Constant maps among them are cut to it.

    Where `bounds` are given it is a rectifier that may overwrite what it reads.
    """

    spread: Spread
    source: Ref
    constants: Mapping[int, Tensor]
    bounds: Bounds | None = None

    def in_place(self, graph: Graph) -> "Positionwise":
        """The same where nothing else reads the source, if it is a rectifier."""
        node = graph.nodes[self.node]
        operation = operation_of(node.function)
        assert operation is not None
        return replace(self, bounds=operation.bounds(operation.bind(node.args, node.kwargs)))

    def run(self, graph: Graph, patches: Patches, values: Values) -> Any:
        if self.bounds is not None:
            return patches.made[self.source].clamp_(*self.bounds)
        rows, columns = patches.rectangle(self.spread)

        def own(leaf: Any) -> Any:
            given = _without_refs(leaf, graph)
            if isinstance(given, Ref):
                return patches.over(given, self.spread)
            if id(given) in self.constants:
                return patches.at(self.constants[id(given)], rows, columns, self.spread.shape[1])
            return resolved(given, values, len(patches.batch))

        node = graph.nodes[self.node]
        args, kwargs = map_leaves((node.args, node.kwargs), own)
        return node.function(*args, **kwargs)


@dataclass(frozen=True, eq=False)
class GlobalMean(Step):
    """The mean over all places: the clean one and what the patch changes of it."""

    source: Ref
    clean: Tensor

    def run(self, graph: Graph, patches: Patches, values: Values) -> Any:
        spread = patches.spreads[self.source]
        change = (patches.made[self.source] - patches.untouched(self.source)).sum(dim=_SPACE)
        change = change / (spread.shape[0] * spread.shape[1])
        return self.clean + change.reshape(len(patches.batch), *self.clean.shape[1:])


# Which step a call is -------------------------------------------------------------------------------------------------


def step_of(graph: Graph, node: int, clean: Values, spreads: Mapping[Ref, Spread]) -> Step:
    """How a node is computed, given the clean values and how the change spreads in what comes before it."""
    function, args, kwargs = graph.nodes[node].function, graph.nodes[node].args, graph.nodes[node].kwargs
    changing = [ref for ref in refs_in((args, kwargs)) if not graph.constant[ref.node]]
    operation = operation_of(function)
    whole = Whole(node, None)
    if operation is None or not changing or any(ref not in spreads for ref in changing):
        return whole
    source = changing[0]
    before, after = resolved(source, clean, 1), clean[node]
    call = operation.bind(*map_leaves((args, kwargs), lambda leaf: _without_refs(leaf, graph)))
    call = Call(call.arguments, tuple(before.shape), tuple(getattr(after, "shape", ())))
    make = _SPECIAL.get(name_of(function), _positionwise)
    return make(graph, node, call, source, clean, spreads) or whole


def _without_refs(leaf: Any, graph: Graph) -> Any:
    if isinstance(leaf, Ref) and graph.constant[leaf.node]:
        value = graph.nodes[leaf.node].value
        return value if leaf.item is None else value[leaf.item]
    return leaf


def _convolution(
    graph: Graph, node: int, call: Call, source: Ref, clean: Values, spreads: Mapping[Ref, Spread]
) -> Step | None:
    windows = _windows(graph, node, call)
    if windows is None or len(call.input) != 4 or not isinstance(call["weight"], Tensor):
        return None
    weight, bias = call["weight"], call["bias"]
    stride, dilation, groups = call["stride"], call["dilation"], call["groups"]
    spread = spreads[source].through(windows, call.output)
    return Sliding(
        node, spread, source, windows, lambda read: F.conv2d(read, weight, bias, stride, 0, dilation, groups)
    )


def _max_pooling(
    graph: Graph, node: int, call: Call, source: Ref, clean: Values, spreads: Mapping[Ref, Spread]
) -> Step | None:
    windows = _windows(graph, node, call)
    if windows is None or len(call.input) != 4 or call["return_indices"] or not isinstance(clean[node], Tensor):
        return None
    kernel, stride, dilation = call["kernel_size"], call["stride"] or None, call["dilation"]
    spread = spreads[source].through(windows, call.output)
    return Sliding(
        node, spread, source, windows, lambda read: F.max_pool2d(read, kernel, stride, 0, dilation), lowest=True
    )


def _average_pooling(
    graph: Graph, node: int, call: Call, source: Ref, clean: Values, spreads: Mapping[Ref, Spread]
) -> Step | None:
    """As sums, and divided by what the whole map's places are divided by, which differs at the border."""
    windows = _windows(graph, node, call)
    if windows is None or len(call.input) != 4:
        return None
    kernel, stride = call["kernel_size"], call["stride"] or None
    ones = torch.ones_like(resolved(source, clean, 1)[:, :1])
    options = kernel, stride, call["padding"], call["ceil_mode"]
    counted = F.avg_pool2d(ones, *options, divisor_override=1)
    divisors = counted / F.avg_pool2d(ones, *options, call["count_include_pad"], call["divisor_override"])
    table = torch.cat([divisors.new_ones(2), divisors.flatten()])[:, None]
    spread = spreads[source].through(windows, call.output)
    return Sliding(
        node, spread, source, windows,
        lambda read: F.avg_pool2d(read, kernel, stride, divisor_override=1), divisors=table,
    )  # fmt: skip


def _adaptive_pooling(
    graph: Graph, node: int, call: Call, source: Ref, clean: Values, spreads: Mapping[Ref, Spread]
) -> Step | None:
    if len(call.input) != 4 or len(call.output) != 4:
        return None
    if call.output[2:] == call.input[2:]:
        return Moved(node, spreads[source], source)
    return GlobalMean(node, None, source, clean[node]) if call.output[2:] == (1, 1) else None


def _mean(
    graph: Graph, node: int, call: Call, source: Ref, clean: Values, spreads: Mapping[Ref, Spread]
) -> Step | None:
    dims = call["dim"] if isinstance(call["dim"], (list, tuple)) else [call["dim"]]
    if len(call.input) == 4 and None not in dims and {dim % 4 for dim in dims} == set(_SPACE):
        return GlobalMean(node, None, source, clean[node])
    return _positionwise(graph, node, call, source, clean, spreads)


def _padding(
    graph: Graph, node: int, call: Call, source: Ref, clean: Values, spreads: Mapping[Ref, Spread]
) -> Step | None:
    if call["mode"] != "constant" or len(call["pad"]) > 4 or min(call["pad"]) < 0 or len(call.input) != 4:
        return None
    left, _, top, _ = [*call["pad"], 0, 0][:4]
    return Moved(node, spreads[source].moved(top, left, call.output), source)


def _positionwise(
    graph: Graph, node: int, call: Call, source: Ref, clean: Values, spreads: Mapping[Ref, Spread]
) -> Step | None:
    operation = operation_of(graph.nodes[node].function)
    results = clean[node] if isinstance(clean[node], (tuple, list)) else [clean[node]]
    shape = spreads[source].shape
    leaves = leaves_of((graph.nodes[node].args, graph.nodes[node].kwargs))
    changing = [leaf for leaf in leaves if isinstance(leaf, Ref) and not graph.constant[leaf.node]]
    maps = [*results, *(resolved(ref, clean, 1) for ref in changing)]
    if operation is None or not all(isinstance(each, Tensor) and _is_map(each, shape) for each in maps):
        return None
    call = Call(call.arguments, call.input, tuple(results[0].shape))
    if not (operation.activation or operation.kind in _POSITIONWISE):
        return None
    if _windows(graph, node, call) != _STILL or operation.axes(call, _SPACE) != _SPACE:
        return None
    if uses_batch_statistics(graph.nodes[node]):
        return None
    constants = (
        [] if name_of(graph.nodes[node].function) in _PER_CHANNEL else [_without_refs(leaf, graph) for leaf in leaves]
    )
    uneven = [value for value in constants if isinstance(value, Tensor) and not _is_even(value)]
    if not all(_is_cut(value, shape) for value in uneven):
        return None
    spread = spreads[source]
    for ref in changing[1:]:
        spread = spread.union(spreads[ref])
    return Positionwise(node, spread, source, {id(value): _table(value, shape) for value in uneven})


def _windows(graph: Graph, node: int, call: Call) -> Windows | None:
    operation: Operation | None = operation_of(graph.nodes[node].function)
    return None if operation is None else operation.windows(call, _SPACE)


def _is_map(value: Tensor, shape: tuple[int, int]) -> bool:
    return value.dim() == 4 and value.shape[0] == 1 and tuple(value.shape[2:]) == shape


def _is_even(value: Tensor) -> bool:
    """Whether a constant is the same at all places."""
    return (1, 1, *value.shape)[-2:] == (1, 1)


def _is_cut(value: Tensor, shape: tuple[int, int]) -> bool:
    """Whether a constant is a map of that shape, or one row or column of it."""
    space = (1, 1, *value.shape)[-2:]
    batch = value.shape[0] if value.dim() == 4 else 1
    return value.dim() <= 4 and batch == 1 and all(own in (1, full) for own, full in zip(space, shape, strict=True))


def _table(value: Tensor, shape: tuple[int, int]) -> Tensor:
    """A constant map as a table of places, below two that stand for padding."""
    channels = value.shape[-3] if value.dim() > 2 else 1
    full = value.reshape(channels, *(1, 1, *value.shape)[-2:]).expand(channels, *shape)
    places = full.permute(1, 2, 0).reshape(-1, channels)
    return torch.cat([places.new_zeros(2, channels), places])


_Make = Callable[[Graph, int, Call, Ref, Values, Mapping[Ref, Spread]], Step | None]
_SPECIAL: dict[str, _Make] = {
    "conv2d": _convolution,
    "max_pool2d": _max_pooling,
    "avg_pool2d": _average_pooling,
    "adaptive_avg_pool2d": _adaptive_pooling,
    "mean": _mean,
    "pad": _padding,
}
