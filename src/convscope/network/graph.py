"""The traced graph: a network as nodes that can be run one after another, whole or up to the layers asked for."""

import copy
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from convscope.network.naming import name_layers
from convscope.network.replica import Replica
from convscope.network.trace import (
    Node,
    PerBatch,
    Record,
    Ref,
    Untraceable,
    leaves_of,
    map_leaves,
    merge,
    record,
    refs_in,
    sees_image,
    tensors_in,
)

Values = list[Any]


class Graph:
    """A network's calls in order, for images of one size and batches of any.

    `names` maps each layer to the value it stands for, `aliases` other names to layers. Running it touches no module,
    keeps no state, and may be done from several threads at once.
    """

    def __init__(self, traced: Record) -> None:
        self.record = traced
        self.sees_image = sees_image(traced.nodes)
        self.names, self.aliases = name_layers(traced, self.sees_image)
        self.constant = _constants(traced.nodes)
        self._take(traced.nodes, traced.output)

    def _take(self, nodes: list[Node], output: Any) -> None:
        self.nodes, self.output = nodes, output
        self.writes = any(node.writes for node, constant in zip(nodes, self.constant, strict=True) if not constant)
        self._steps = [_step(node) for node in nodes]
        self.last_use = self._last_uses()
        self._orders: dict[tuple[frozenset[int], frozenset[str], bool], tuple[int, ...]] = {}

    @property
    def holds_weights(self) -> bool:
        """Whether a constant was computed from weights, so that it is old once they change: a normalized weight."""
        computed = (node for node, same in zip(self.nodes, self.constant, strict=True) if same)
        return any(isinstance(leaf, nn.Parameter) for node in computed for leaf in leaves_of((node.args, node.kwargs)))

    def run(self, image: Tensor, keep: Collection[str] = (), *, whole: bool = True) -> tuple[Any, dict[str, Tensor]]:
        """What the network returns for a batch `(N, C, H, W)`, and the values of the layers in `keep`.

        With `whole=False` it runs no more than `keep` needs and returns None for the output.
        """
        return self.resume({0: image}, len(image), keep, whole=whole)

    def resume(
        self, given: Mapping[int, Tensor], batch: int, keep: Collection[str] = (), *, whole: bool = True
    ) -> tuple[Any, dict[str, Tensor]]:
        """The same from the values of some nodes on, for a batch of so many."""
        wanted: dict[int, list[str]] = {}
        for name in keep:
            wanted.setdefault(self.names[name].node, []).append(name)
        values: Values = [None] * len(self.nodes)
        kept = {}
        for index in self.order(given, keep, whole=whole):
            if index in given:
                values[index] = given[index]
            else:
                values[index] = self.nodes[index].value if self.constant[index] else self.call(index, values, batch)
            for name in wanted.get(index, ()):
                value = resolved(self.names[name], values, batch)
                kept[name] = value.clone() if self.writes else value
            for done in self.last_use[index]:
                values[done] = None
        output = map_leaves(self.output, lambda leaf: resolved(leaf, values, batch)) if whole else None
        return output, kept

    def values(self, image: Tensor) -> Values:
        """What every node gives for a batch, all of it kept."""
        values: Values = [image, *(node.value for node in self.nodes[1:])]
        for index, constant in enumerate(self.constant):
            if index and not constant:
                values[index] = self.call(index, values, len(image))
        return values

    def call(self, index: int, values: Values, batch: int) -> Any:
        """What one node gives, from the values of those before it."""
        return self._steps[index](values, batch)

    def order(self, given: Collection[int], keep: Collection[str] = (), *, whole: bool = True) -> tuple[int, ...]:
        """The nodes that must be run, or are given, for the output, if `whole`, and the layers in `keep`."""
        asked = frozenset(given), frozenset(keep), whole
        if asked not in self._orders:
            self._orders[asked] = self._ordered(*asked)
        return self._orders[asked]

    def _ordered(self, given: frozenset[int], keep: frozenset[str], whole: bool) -> tuple[int, ...]:
        ends = [self.names[name].node for name in keep]
        if self.writes:
            # Whatever comes before may write into what is needed.
            return tuple(range(len(self.nodes) if whole else 1 + max(ends, default=0)))
        waiting = [*ends, *(ref.node for ref in refs_in(self.output))] if whole else ends
        needed: set[int] = set()
        while waiting:
            index = waiting.pop()
            if index not in needed:
                needed.add(index)
                if index not in given and not self.constant[index]:
                    waiting.extend(ref.node for ref in refs_in((self.nodes[index].args, self.nodes[index].kwargs)))
        return tuple(sorted(needed))

    def rewritten(self, nodes: list[Node], output: Any) -> "Graph":
        """The same layers by other calls under the same numbers."""
        graph = copy.copy(self)
        graph._take(nodes, output)
        return graph

    def extended(self, further: Mapping[str, tuple[Callable[[Any], Any], str]]) -> "Graph":
        """The same with further layers: each a function of the value of a layer that is there already."""
        graph = copy.copy(self)
        nodes = [*self.nodes]
        graph.names = dict(self.names)
        for name, (function, layer) in further.items():
            nodes.append(Node(function, (graph.names[layer],), {}, "", None))
            graph.names[name] = Ref(len(nodes) - 1)
        graph.sees_image = [*self.sees_image, *(True for _ in further)]
        graph.constant = [*self.constant, *(False for _ in further)]
        graph._take(nodes, self.output)
        return graph

    def release(self) -> None:
        """Let go of the values seen while tracing, but for the constants."""
        for node, constant in zip(self.nodes, self.constant, strict=True):
            node.value = node.value if constant else None

    def _last_uses(self) -> list[list[int]]:
        """For each node, the earlier values that nothing needs any more once it has run."""
        last = {ref.node: len(self.nodes) for ref in refs_in(self.output)}
        for index in reversed(range(len(self.nodes))):
            for ref in refs_in((self.nodes[index].args, self.nodes[index].kwargs)):
                last.setdefault(ref.node, index)
        uses: list[list[int]] = [[] for _ in self.nodes]
        for node, user in last.items():
            if user < len(self.nodes):
                uses[user].append(node)
        return uses


def trace(replica: Replica, image_shape: tuple[int, ...], like: Tensor) -> Graph:
    """The graph of a replica for images `(C, H, W)` of that shape, of the type and on the device of `like`.

    Raises `Untraceable` where its replay doesn't give what the network gives.
    """
    generator = torch.Generator().manual_seed(0)
    batches = [torch.randn(count, *image_shape, generator=generator).to(like) for count in (1, 2)]
    single, double = (record(replica, batch) for batch in batches)
    values = [node.value for node in double.nodes]
    expected = tensors_in(map_leaves(double.output, lambda leaf: resolved(leaf, values, 2)))
    graph = Graph(merge(single, double))
    with torch.no_grad():
        replayed, _ = graph.run(batches[1].clone())
    _check_same(expected, replayed)
    return graph


def resized(graph: Graph, replica: Replica, image_shape: tuple[int, ...], like: Tensor) -> tuple[Values, Any]:
    """What each node of a graph gives for an image of another shape `(C, H, W)` than it was traced for, and its output.

    Raises `Untraceable`, or whatever a call in it raises, where that isn't what the network gives.
    """
    image = torch.randn(1, *image_shape, generator=torch.Generator().manual_seed(0)).to(like)
    with torch.inference_mode(False), torch.no_grad():
        expected = list(tensors_in(replica(image.clone())))
        values = graph.values(image.clone())
        output = map_leaves(graph.output, lambda leaf: resolved(leaf, values, 1))
    _check_same(expected, output)
    return values, output


def _check_same(expected: Iterable[Tensor], output: Any) -> None:
    for one, other in zip(expected, tensors_in(output), strict=True):
        tolerance = 1e-3 * float(one.detach().abs().max())
        if one.shape != other.shape or not torch.allclose(
            one.detach(), other, rtol=1e-3, atol=tolerance, equal_nan=True
        ):
            raise Untraceable("run again, its graph gives another result")


@dataclass(frozen=True, slots=True)
class _Plain:
    """A step all of whose changing arguments are whole values of earlier nodes: the common and fast case."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    places: tuple[tuple[int, int], ...]

    def __call__(self, values: Values, batch: int) -> Any:
        args = list(self.args)
        for place, node in self.places:
            args[place] = values[node]
        return self.function(*args, **self.kwargs)


@dataclass(frozen=True, slots=True)
class _Nested:
    """A step whose arguments hold values deeper down, items of tuples, or numbers that depend on the batch."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def __call__(self, values: Values, batch: int) -> Any:
        args, kwargs = map_leaves((self.args, self.kwargs), lambda leaf: resolved(leaf, values, batch))
        return self.function(*args, **kwargs)


def _step(node: Node) -> _Plain | _Nested:
    places = tuple(
        (place, arg.node) for place, arg in enumerate(node.args) if isinstance(arg, Ref) and arg.item is None
    )
    changing = sum(isinstance(leaf, (Ref, PerBatch)) for leaf in leaves_of((node.args, node.kwargs)))
    if changing == len(places):
        return _Plain(node.function, node.args, node.kwargs, places)
    return _Nested(node.function, node.args, node.kwargs)


def resolved(leaf: Any, values: Values, batch: int) -> Any:
    if isinstance(leaf, Ref):
        value = values[leaf.node]
        return value if leaf.item is None else value[leaf.item]
    return leaf.slope * batch + leaf.constant if isinstance(leaf, PerBatch) else leaf


def _constants(nodes: list[Node]) -> list[bool]:
    """Which nodes give the same value in every run, so that the recorded one serves.

    A value that something changing is later written into is made anew each time, and so is all that shares its memory.
    """
    constant = [False]
    for node in nodes[1:]:
        leaves = leaves_of((node.args, node.kwargs))
        changing = any(
            isinstance(leaf, PerBatch) or (isinstance(leaf, Ref) and not constant[leaf.node]) for leaf in leaves
        )
        constant.append(not changing)
    written = {
        memory
        for node, same in zip(nodes, constant, strict=True)
        if node.writes and not same
        for ref in refs_in((node.args, node.kwargs))
        for memory in _memory(nodes[ref.node].value)
    }
    return [same and not (_memory(node.value) & written) for node, same in zip(nodes, constant, strict=True)]


def _memory(value: Any) -> set[int]:
    return {tensor.untyped_storage().data_ptr() for tensor in tensors_in(value)}
