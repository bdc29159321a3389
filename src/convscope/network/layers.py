"""What a network's layers are: kind, shape, parameters, multiply-adds and receptive field of each."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor, nn

from convscope.errors import LayerError, nearest
from convscope.network.geometry import ReceptiveField, Sight, Window
from convscope.network.graph import Graph
from convscope.network.naming import Aliases, vgg_aliases
from convscope.network.ops import Operation, name_of, operation_of
from convscope.network.passage import Axes, Call, pair
from convscope.network.trace import Node, Record, Ref, map_leaves, refs_in, sees_image, tensors_in


@dataclass(frozen=True)
class Layer:
    """One layer: a node of the traced graph.

    `shape` is its output's without the batch, `(C, H, W)` where it has space. `parameters` and `multiply_adds` (for one
    image; convolutions and matrix products) are its own, so that their sums are the network's. `kernel` and `stride`
    are those of a convolution or a pooling. `receptive_field` is None where the network can't be traced; `direct_field`
    leaves aside what only scales a map by numbers for the whole of it: gates such as squeeze-excite, and normalization
    by the statistics of a map. `weight` is a convolution's `(out, in / groups, rows, columns)` or a linear layer's
    `(out, in)`.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int = 0
    multiply_adds: int = 0
    kernel: tuple[int, int] | None = None
    stride: tuple[int, int] | None = None
    receptive_field: ReceptiveField | None = None
    weight: Tensor | None = field(default=None, repr=False, compare=False)
    direct_field: ReceptiveField | None = field(default=None, repr=False)

    @property
    def has_space(self) -> bool:
        """Whether the output is a stack of maps."""
        return len(self.shape) == 3


class Layers(Mapping[str, Layer]):
    """The layers in the graph's order, by name or alias; an unknown name is an error that lists the nearest."""

    def __init__(self, layers: dict[str, Layer], aliases: Aliases) -> None:
        self._layers = layers
        self._aliases = aliases

    def __getitem__(self, name: str) -> Layer:
        meant = self._aliases.get(name, name)
        if meant not in self._layers:
            raise LayerError(f"no layer {name!r}; {nearest(name, self.names)} (`convscope anatomy` lists them)")
        return self._layers[meant]

    @property
    def names(self) -> list[str]:
        """All names that can be asked for, aliases included."""
        return [*self._layers, *self._aliases]

    def __contains__(self, name: object) -> bool:
        return name in self._layers or name in self._aliases

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)

    def __repr__(self) -> str:
        return f"Layers({', '.join(self._layers)})"


def describe(graph: Graph, module: nn.Module) -> Layers:
    """The layers of a freshly traced graph of `module`."""
    fields, direct = _fields(graph), _fields(graph, direct=True)
    parameters = _parameters(graph.record, module)
    layers: dict[str, Layer] = {}
    counted: set[int] = set()
    for name, ref in graph.names.items():
        own = ref.node not in counted
        counted.add(ref.node)
        layer = _layer(graph.nodes, name, ref, fields[ref.node])
        layers[name] = replace(
            layer,
            parameters=parameters[ref.node] if own else 0,
            multiply_adds=layer.multiply_adds if own else 0,
            direct_field=direct[ref.node],
        )
    vgg = vgg_aliases({name: layer.kind for name, layer in layers.items()})
    return Layers(layers, {**vgg, **graph.aliases})


def describe_modules(record: Record, module: nn.Module, shapes: Mapping[str, tuple[int, ...]]) -> Layers:
    """Submodules as layers, for a network that can't be traced: no receptive fields; the costs of the calls within."""
    parameters = _parameters(record, module)
    layers: dict[str, Layer] = {}
    for path, shape in shapes.items():
        submodule = module.get_submodule(path)
        within = [index for index, node in enumerate(record.nodes) if index and node.path == path]
        weight = getattr(submodule, "weight", None)
        layers[path] = Layer(
            name=path,
            kind=type(submodule).__name__,
            shape=shape,
            parameters=sum(parameters[index] for index in within),
            multiply_adds=sum(cost_of(record.nodes, record.nodes[index]) for index in within),
            weight=weight.detach() if isinstance(weight, Tensor) and weight.dim() in (2, 4) else None,
        )
    return Layers(layers, {})


def cost_of(nodes: list[Node], node: Node) -> int:
    """The multiply-adds of a node's call for one image; each node's `value` says what it gave."""
    operation, call = operation_of(node.function), call_of(nodes, node)
    return operation.cost(call) if operation and call else 0


def call_of(nodes: list[Node], node: Node) -> Call | None:
    """The node's call with values in place of references; None where the table doesn't know the operation."""
    operation = operation_of(node.function)
    output = next(tensors_in(node.value), None)
    if operation is None or output is None:
        return None
    args, kwargs = map_leaves((node.args, node.kwargs), lambda leaf: _value(nodes, leaf))
    first = next(tensors_in((args, kwargs)), None)
    call = operation.bind(args, kwargs)
    return replace(call, input=tuple(first.shape) if first is not None else (), output=tuple(output.shape))


def _value(nodes: list[Node], leaf: Any) -> Any:
    if not isinstance(leaf, Ref):
        return leaf
    value = nodes[leaf.node].value
    return value if leaf.item is None else value[leaf.item]


def _layer(nodes: list[Node], name: str, ref: Ref, receptive_field: ReceptiveField) -> Layer:
    node = nodes[ref.node]
    operation, call = operation_of(node.function), call_of(nodes, node)
    shape = tuple(_value(nodes, ref).shape[1:])
    if operation is None or call is None:
        return Layer(name, name_of(node.function), shape, receptive_field=receptive_field)
    weight = call.arguments.get("weight") if operation.kind.endswith(("convolution", "linear")) else None
    kernel = stride = None
    if operation.kind.endswith("convolution"):
        kernel, stride = pair(call["weight"].shape[2:]), pair(call["stride"])
    elif "kernel_size" in call.arguments:
        kernel = pair(call["kernel_size"])
        stride = pair(call["stride"]) if call["stride"] not in (None, [], ()) else kernel
    return Layer(
        name, operation.kind, shape, 0, operation.cost(call), kernel, stride, receptive_field,
        weight.detach() if isinstance(weight, Tensor) else None,
    )  # fmt: skip


def _parameters(record: Record, module: nn.Module) -> list[int]:
    """How many parameters each node brings in: those among its arguments, each counted where it first appears.

    What never appears itself (the parts of a normalized weight) counts for the last call within its module, and what
    is computed without the image counts for the first call that takes the result.
    """
    counted: set[int] = set()
    owned = [0] * len(record.nodes)

    def count(node: int, tensors: Iterable[Tensor]) -> None:
        fresh = {
            id(each): each.numel() for each in tensors if isinstance(each, nn.Parameter) and id(each) not in counted
        }
        counted.update(fresh)
        owned[node] += sum(fresh.values())

    for index, node in enumerate(record.nodes):
        count(index, tensors_in((node.args, node.kwargs)))
    for call in record.calls:
        if call.end > call.first:
            within = call.result is not None and call.result.node >= call.first
            last = call.result.node if call.result and within else call.end - 1
            count(last, module.get_submodule(call.path).parameters(recurse=False))
    sees = sees_image(record.nodes)
    for index, node in enumerate(record.nodes):
        for ref in refs_in((node.args, node.kwargs)):
            if not sees[ref.node]:
                owned[index], owned[ref.node] = owned[index] + owned[ref.node], 0
    return owned


_BY_STATISTICS = ("group norm", "instance norm")


@dataclass(frozen=True)
class _Field:
    """What a value sees of the image, while its two spatial axes can still be told."""

    axes: Axes
    rows: Sight
    columns: Sight


def _fields(graph: Graph, *, direct: bool = False) -> list[ReceptiveField]:
    """Each node's receptive field, composed node by node from the image on; its `direct_field` if asked for."""
    height, width = graph.nodes[0].value.shape[-2:]
    whole = ReceptiveField(Sight.of_all(height), Sight.of_all(width), whole=True)
    fields: list[_Field | None] = [_Field((2, 3), Sight.of_pixels(height), Sight.of_pixels(width))]
    for index, node in enumerate(graph.nodes[1:], start=1):
        fields.append(_field(graph, node, fields, direct) if graph.sees_image[index] else None)
        if node.writes:
            _write_through(graph.nodes, index, fields)
    return [ReceptiveField(each.rows, each.columns) if each else whole for each in fields]


def _field(graph: Graph, node: Node, fields: list[_Field | None], direct: bool) -> _Field | None:
    """The union of what the inputs see through this operation; None for the whole image."""
    operation, call = operation_of(node.function), call_of(graph.nodes, node)
    if operation is None or call is None:
        return None
    seen: _Field | None = None
    for ref in refs_in((node.args, node.kwargs)):
        if not graph.sees_image[ref.node]:
            continue
        below, shape = fields[ref.node], tuple(_value(graph.nodes, ref).shape)
        if below is None and direct and _scales(operation, shape, call.output):
            continue
        if below is None:
            return None
        followed = replace(call, input=shape)
        windows, axes = operation.windows(followed, below.axes), operation.axes(followed, below.axes)
        if direct and operation.kind in _BY_STATISTICS:
            windows = Window(), Window()
        if windows is None or axes is None:
            return None
        height, width = (followed.input[axis] for axis in below.axes)
        here = _Field(axes, below.rows.through(windows[0], height), below.columns.through(windows[1], width))
        seen = here if seen is None else _union(seen, here)
        if seen is None:
            return None
    return seen


def _scales(operation: Operation, shape: tuple[int, ...], output: tuple[int, ...]) -> bool:
    """Whether an input of this shape is one number for each map of the output, by which it is multiplied."""
    return operation.kind in ("multiply", "divide") and math.prod(shape[2:]) == 1 < math.prod(output[2:])


def _union(one: _Field, other: _Field) -> _Field | None:
    rows, columns = one.rows.union(other.rows), one.columns.union(other.columns)
    return None if rows is None or columns is None or one.axes != other.axes else _Field(one.axes, rows, columns)


def _write_through(nodes: list[Node], index: int, fields: list[_Field | None]) -> None:
    """What is written in place is seen by all earlier values that share the memory."""
    written = next(tensors_in(nodes[index].value), None)
    refs = list(refs_in((nodes[index].args, nodes[index].kwargs)))
    memory = {_memory(_value(nodes, ref)) for ref in refs[:1]} if written is None else {_memory(written)}
    for earlier in range(index):
        for tensor in tensors_in(nodes[earlier].value):
            if _memory(tensor) in memory:
                same = written is not None and tensor.shape == written.shape
                fields[earlier] = fields[index] if same else None


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
