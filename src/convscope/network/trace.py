"""The network as a list of function calls, recorded by running it.

The replica is run on a random image under a `TorchFunctionMode`, which sees every call of torch's Python API with its
real arguments, wherever it is made: in modules, functions, operators, in place. Python's own control flow is followed
as it goes for images of this size. The network is run on one image and on two; whole numbers that differ between the
runs are those that depend on the batch (`x.view(x.size(0), -1)`), so that the record serves any batch.

What can't be recorded truthfully raises `Untraceable`: a path that depends on the values in a tensor, a value computed
out of sight (TorchScript, NumPy, a custom autograd function).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from convscope.network.ops import name_of
from convscope.network.replica import Replica, observing


class Untraceable(Exception):  # noqa: N818 - never leaves this room; it says why and is answered by another way
    """Why the network can't be recorded as a graph."""


@dataclass(frozen=True, slots=True)
class Ref:
    """In a recorded argument: what node `node` returned, or one item of it."""

    node: int
    item: int | None = None


@dataclass(frozen=True, slots=True)
class PerBatch:
    """In a recorded argument: a whole number that is `slope` × batch + `constant`."""

    slope: int
    constant: int


@dataclass
class Node:
    """One recorded call. `value` is what it returned while it was recorded."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    path: str
    value: Any
    writes: bool = False


@dataclass(frozen=True)
class ModuleCall:
    """One call of a submodule: the nodes recorded within it, and the tensor it returned first."""

    path: str
    leaf: bool
    first: int
    end: int
    result: Ref | None


@dataclass
class Record:
    """All calls of one run; node 0 is the image. `output` is what the network returned, with `Ref`s for tensors."""

    nodes: list[Node] = field(default_factory=list)
    calls: list[ModuleCall] = field(default_factory=list)
    output: Any = None


_READS_VALUES = frozenset(
    "bool item float int index complex tolist numpy array contains equal allclose is_nonzero".split()
)
_IGNORED = frozenset("set_grad_enabled".split())


class Recorder(TorchFunctionMode):
    """Records every call made under it; `strict=False` tolerates what a graph could not replay."""

    def __init__(self, image: Tensor, live: dict[int, Tensor], *, strict: bool = True) -> None:
        super().__init__()
        self.record = Record()
        self._strict = strict
        self._live = live
        self._paths = [""]
        self._refs: dict[int, Ref] = {}
        self._seeing: set[int] = {0}
        self._add(Node(_image, (), {}, "", image))

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        tensors = list(tensors_in((args, kwargs)))
        versions = [_version(tensor) for tensor in tensors]
        result = function(*args, **kwargs)
        name = name_of(function)
        written = [tensor for tensor, version in zip(tensors, versions, strict=True) if _version(tensor) != version]
        sees = any(self._sees(tensor) for tensor in tensors)
        if self._strict and sees:
            self._refuse(name, written)
        if name not in _IGNORED and (written or any(True for _ in tensors_in(result))):
            node = Node(function, self._template(args), self._template(kwargs), self._paths[-1], result, bool(written))
            self._seeing.update([len(self.record.nodes)] if sees else [])
            self._add(node)
        return result

    def called(self, path: str, module: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Run a submodule, noting which calls it makes."""
        first = len(self.record.nodes)
        self._paths.append(path)
        try:
            result = forward(*args, **kwargs)
        finally:
            self._paths.pop()
        returned = (self._refs.get(id(tensor)) for tensor in tensors_in(result))
        call = ModuleCall(path, _is_leaf(module), first, len(self.record.nodes), next(returned, None))
        self.record.calls.append(call)
        return result

    def finish(self, output: Any) -> Record:
        self.record.output = self._template(output)
        return self.record

    def _add(self, node: Node) -> None:
        index = len(self.record.nodes)
        self.record.nodes.append(node)
        if isinstance(node.value, Tensor):
            self._refs[id(node.value)] = Ref(index)
        elif isinstance(node.value, (tuple, list)):
            for item, tensor in enumerate(node.value):
                if isinstance(tensor, Tensor):
                    self._refs[id(tensor)] = Ref(index, item)

    def _template(self, value: Any) -> Any:
        return map_leaves(value, self._recorded)

    def _recorded(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        if self._strict and hasattr(value.grad_fn, "_forward_cls"):
            raise Untraceable("it uses a custom autograd function")
        ref = self._refs.get(id(value))
        if ref is not None:
            return ref
        if self._strict and value.grad_fn is not None:
            raise Untraceable("a value is computed out of sight, by TorchScript or compiled code")
        return self._live.get(id(value), value)

    def _sees(self, tensor: Tensor) -> bool:
        """Whether the tensor depends on the image."""
        ref = self._refs.get(id(tensor))
        return ref is not None and ref.node in self._seeing

    def _refuse(self, name: str, written: list[Tensor]) -> None:
        where = f"`{self._paths[-1]}`" if self._paths[-1] else "`forward`"
        if name in _READS_VALUES:
            raise Untraceable(f"{where} reads the values of a tensor in Python ({name})")
        if any(id(tensor) not in self._refs for tensor in written):
            raise Untraceable(f"{where} writes what it sees to a tensor of the module ({name})")


def _version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version


def _image() -> None:
    """Stands for the network's input as the first node's function."""


def _is_leaf(module: nn.Module) -> bool:
    """Torch's own modules that hold no others, but for what computes a parametrized weight."""
    own = type(module).__module__.startswith("torch.nn.")
    return own and all(name == "parametrizations" for name, _ in module.named_children())


def record(replica: Replica, image: Tensor, *, strict: bool = True) -> Record:
    """All calls of one run of the replica on `image` `(N, C, H, W)`."""
    with torch.inference_mode(False), torch.enable_grad():
        image = image.clone().requires_grad_() * 1
        recorder = Recorder(image, replica.live, strict=strict)
        with observing(recorder), recorder:
            output = replica(image)
        return recorder.finish(output)


def merge(one: Record, two: Record) -> Record:
    """The record of a batch of one with the numbers that a batch of two shows to depend on the batch."""
    if [node.function for node in one.nodes] != [node.function for node in two.nodes]:
        raise Untraceable("it takes another path for another batch")
    for first, second in zip(one.nodes, two.nodes, strict=True):
        first.args, first.kwargs = _unify((first.args, first.kwargs), (second.args, second.kwargs))
    one.output = _unify(one.output, two.output)
    return one


def _unify(one: Any, two: Any) -> Any:
    if type(one) is not type(two):
        raise Untraceable("a call's arguments change their type with the batch")
    if isinstance(one, (tuple, list)) and len(one) == len(two):
        return rebuilt(one, [_unify(*both) for both in zip(one, two, strict=True)])
    if isinstance(one, dict) and one.keys() == two.keys():
        return type(one)([(key, _unify(one[key], two[key])) for key in one])
    if isinstance(one, slice):
        return slice(*map(_unify, (one.start, one.stop, one.step), (two.start, two.stop, two.step)))
    if isinstance(one, Tensor):
        same = one is two or (one.shape == two.shape and bool(torch.equal(one, two)))
    else:
        same = one is two or bool(one == two)
    if same:
        return one
    if type(one) is int:
        return PerBatch(two - one, 2 * one - two)
    raise Untraceable("a constant of the graph changes with the batch or from run to run")


def sees_image(nodes: list[Node]) -> list[bool]:
    """Which nodes depend on the image."""
    depends = [True]
    for node in nodes[1:]:
        depends.append(any(depends[ref.node] for ref in refs_in((node.args, node.kwargs))))
    return depends


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Every tensor within nested tuples, lists and dicts, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for each in value:
            yield from tensors_in(each)
    elif isinstance(value, dict):
        for each in value.values():
            yield from tensors_in(each)


def map_leaves(value: Any, function: Callable[[Any], Any]) -> Any:
    """The same nesting of tuples, lists, dicts and slices with `function` of each leaf."""
    if isinstance(value, (tuple, list)):
        return rebuilt(value, [map_leaves(each, function) for each in value])
    if isinstance(value, dict):
        return type(value)([(key, map_leaves(each, function)) for key, each in value.items()])
    if isinstance(value, slice):
        return slice(*(map_leaves(part, function) for part in (value.start, value.stop, value.step)))
    return function(value)


def leaves_of(value: Any) -> list[Any]:
    """All leaves, in order."""
    found: list[Any] = []
    map_leaves(value, found.append)
    return found


def refs_in(value: Any) -> Iterator[Ref]:
    """The references among the leaves."""
    return (leaf for leaf in leaves_of(value) if isinstance(leaf, Ref))


def rebuilt(sequence: Any, items: list[Any]) -> Any:
    """`items` as the type of `sequence`; a `torch.Size` holds only ints, so it becomes a tuple."""
    if hasattr(sequence, "_fields"):
        return type(sequence)(*items)
    return tuple(items) if isinstance(sequence, tuple) else items
