"""Engines: the fastest ways to run a traced network forward, with the same results as running it plainly.

`lean` makes the graph fit for speed: nothing is written in place, batch norm is folded into the layers before it,
weights lie channels last. The torch engine runs that; ONNX Runtime runs an export of it.
"""

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, get_args

import torch
from torch import Tensor

from convscope.errors import NetworkError, nearest
from convscope.network.folding import folded
from convscope.network.functional import NotFunctional, functional
from convscope.network.graph import Graph
from convscope.network.ops import name_of, operation_of
from convscope.network.trace import Node, leaves_of, refs_in, tensors_in

EngineName = Literal["auto", "torch", "onnx"]

# Bytes of activations at once, about what processors keep near: more is slower, not only larger.
_NEAR = 64 * 2**20
_FAR = 1024 * 2**20


def lean(graph: Graph, fed: Tensor) -> Graph:
    """The graph as it is fastest, for images like the batch `fed` `(1, C, H, W)`.

    Where its writes in place can't be resolved, they stay, and so does the layout that they count on.
    """
    nodes, output = graph.nodes, graph.output
    with torch.no_grad():
        values = graph.values(fed.clone())
        # Only a graph without writes may be read at any of its values later on.
        try:
            nodes, output = functional(nodes, output, values)
        except NotFunctional:
            return graph.rewritten(folded(nodes, output, values), output)
        nodes = [_channels_last(node) for node in folded(nodes, output, values)]
    return graph.rewritten(nodes, output)


def _strided(value: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """`as_strided` of a value that lies otherwise here than where its strides were taken."""
    return value.contiguous().as_strided(*args, **kwargs)


# What takes a value's layout in memory for granted, and what does the same whatever it is.
_OF_ANY_LAYOUT: dict[str, Callable[..., Any]] = {
    "view": torch.Tensor.reshape,
    "view_as": torch.Tensor.reshape_as,
    "as_strided": _strided,
}


def _channels_last(node: Node) -> Node:
    """The call with its weight laid out channels last, or made ready for values that are."""
    other = _OF_ANY_LAYOUT.get(name_of(node.function))
    if other is not None and not any(isinstance(leaf, torch.dtype) for leaf in leaves_of((node.args, node.kwargs))):
        return replace(node, function=other)
    operation = operation_of(node.function)
    if operation is None or operation.kind != "convolution":
        return node
    call = operation.bind(node.args, node.kwargs)
    weight = call["weight"]
    if not isinstance(weight, Tensor) or weight.dim() != 4:
        return node
    weight = weight.detach().contiguous(memory_format=torch.channels_last)
    return replace(node, args=(), kwargs={**call.arguments, "weight": weight})


@dataclass(frozen=True)
class Part:
    """A part of a graph: from the values of the nodes `given` to the layers in `keep` and, if `whole`, the output."""

    graph: Graph
    given: tuple[int, ...] = (0,)
    keep: tuple[str, ...] = ()
    whole: bool = True

    def run(self, values: Sequence[Tensor], batch: int) -> tuple[Any, dict[str, Tensor]]:
        # What is given stays the caller's.
        values = [each.clone() for each in values] if self.graph.writes else values
        return self.graph.resume(dict(zip(self.given, values, strict=True)), batch, self.keep, whole=self.whole)


class Engine(Protocol):
    """Runs a part of a graph. `name` stands in recipes."""

    name: str

    def __call__(self, *given: Tensor) -> tuple[Any, dict[str, Tensor]]:
        """The output and the kept layers, for batches of what is given."""
        ...


class TorchEngine:
    """Torch itself, channels last; with `autocast` in that type where it may."""

    def __init__(self, part: Part, *, autocast: torch.dtype | None = None) -> None:
        self.name = f"torch {torch.__version__}"
        self._part, self._autocast = part, autocast

    def __call__(self, *given: Tensor) -> tuple[Any, dict[str, Tensor]]:
        kind = given[0].device.type
        with torch.no_grad(), torch.autocast(kind, self._autocast, enabled=self._autocast is not None):
            return self._part.run([self._laid_out(each) for each in given], len(given[0]))

    def _laid_out(self, value: Tensor) -> Tensor:
        last = value.dim() == 4 and not self._part.graph.writes
        return value.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)


# What an export to ONNX takes, about, where none is kept yet; and how large weights may be for it.
_EXPORT_SECONDS = 4.0
_LARGEST = 256 * 2**20
_ROUNDS = 3


def engine_for(
    part: Part, example: tuple[Tensor, ...], *, prefer: EngineName = "auto", images: int = 1, alone: bool = True
) -> Engine:
    """The engine that runs a part of a graph, given its input for one image and how many `images` are to come.

    Where it isn't `alone`, other work is done on the same cores meanwhile, and it doesn't keep them busy with waiting.

    "auto" measures: ONNX Runtime is tried where it is installed and an export is at hand or will pay, and taken where
    it is the faster on a few images. Where it can't run the network, one warning says so and torch does.

    Raises
    ------
    NetworkError, MissingExtra
        "onnx" was asked for and can't be had.
    """
    from convscope.network import onnx_engine

    if prefer not in get_args(EngineName):
        raise NetworkError(f"unknown engine {prefer!r}; {nearest(str(prefer), get_args(EngineName))}")
    torch_engine = TorchEngine(part)
    if prefer == "onnx":
        return onnx_engine.OnnxEngine(part, example, alone=alone)
    plain = all(each.device.type == "cpu" and each.dtype == torch.float32 for each in example)
    if prefer == "torch" or not plain or not onnx_engine.is_installed() or _weight_bytes(part) > _LARGEST:
        return torch_engine
    several = tuple(each.expand(min(images, 8), *each.shape[1:]).contiguous() for each in example)
    seconds = _seconds(torch_engine, several)
    exported = onnx_engine.exported_path(part, example).exists()
    if not exported and seconds * images / len(several[0]) < 2 * _EXPORT_SECONDS:
        return torch_engine
    try:
        engine = onnx_engine.OnnxEngine(part, example, alone=alone)
    except NetworkError as error:
        warnings.warn(f"{error}; torch runs it", RuntimeWarning, stacklevel=2)
        return torch_engine
    return engine if _seconds(engine, several) < seconds else torch_engine


def _seconds(engine: Engine, given: tuple[Tensor, ...]) -> float:
    """The least time of a few runs."""
    least = float("inf")
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        engine(*given)
        least = min(least, time.perf_counter() - start)
    return least


def _weight_bytes(part: Part) -> int:
    nodes = (part.graph.nodes[index] for index in part.graph.order(part.given, part.keep, whole=part.whole))
    tensors = {id(each): each for node in nodes for each in tensors_in((node.args, node.kwargs))}
    return sum(each.numel() * each.element_size() for each in tensors.values())


def affordable(part: Part, values: Sequence[Any], most: int = 64) -> int:
    """How many images to run at once, given every node's value for one, so that activations stay near a processor."""
    largest = 1
    for index in part.graph.order(part.given, part.keep, whole=part.whole):
        node = part.graph.nodes[index]
        read = (values[ref.node] for ref in refs_in((node.args, node.kwargs)) if not part.graph.constant[ref.node])
        tensors = [*tensors_in(values[index]), *tensors_in(list(read))]
        largest = max(largest, sum(each.numel() * each.element_size() for each in tensors))
    return max(1, min(most, (_NEAR if tensors_on_processor(values) else _FAR) // largest))


def tensors_on_processor(values: Sequence[Any]) -> bool:
    """Whether these are on a processor, not on an accelerator."""
    return all(each.device.type == "cpu" for each in tensors_in(list(values)))
