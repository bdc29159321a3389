"""A graph's calls without writes in place: each value is made once and stays as it was made.

What is kept of a run, gathered from or pasted into must not be overwritten by a later call. `relu_(x)` becomes
`y = relu(x)`, and what follows reads y where it read x.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from convscope.network.ops import name_of
from convscope.network.trace import Node, Ref, map_leaves, refs_in, tensors_in


class NotFunctional(Exception):  # noqa: N818 - never leaves convscope; it is answered by running the graph as it is
    """Why a graph can't be had without writes in place."""


def functional(nodes: Sequence[Node], output: Any, values: Sequence[Any]) -> tuple[list[Node], Any]:
    """The same calls out of place, under the same numbers, and the output that refers to them.

    `values` are those that the nodes have in some run, all of them alive, so that it shows which share memory. Raises
    `NotFunctional` where something is written of which another view is read later, or in a way that has no form out of
    place.
    """
    last_read = _last_reads(nodes, output)
    versions = list(range(len(nodes)))
    rewritten: list[Node] = []
    for index, node in enumerate(nodes):
        args, kwargs = _updated(node.args, versions), _updated(node.kwargs, versions)
        if not node.writes:
            rewritten.append(replace(node, args=args, kwargs=kwargs))
            continue
        rewritten.append(_out_of_place(replace(node, args=args, kwargs=kwargs, writes=False)))
        for earlier in range(index):
            if _same_place(values[earlier], values[index]):
                versions[earlier] = index
            elif last_read[earlier] > index and _memory(values[earlier]) & _memory(values[index]):
                raise NotFunctional(f"{name_of(node.function)} writes into a value of which a view is read later")
    return rewritten, _updated(output, versions)


def _updated(value: Any, versions: Sequence[int]) -> Any:
    return map_leaves(value, lambda leaf: replace(leaf, node=versions[leaf.node]) if isinstance(leaf, Ref) else leaf)


def _last_reads(nodes: Sequence[Node], output: Any) -> list[int]:
    last = list(range(len(nodes)))
    for index, node in enumerate(nodes):
        for ref in refs_in((node.args, node.kwargs)):
            last[ref.node] = index
    for ref in refs_in(output):
        last[ref.node] = len(nodes)
    return last


def _out_of_place(node: Node) -> Node:
    written = node.args[0] if node.args else node.kwargs.get("input")
    if not isinstance(written, Ref) or written.item is not None:
        raise NotFunctional(f"{name_of(node.function)} writes into a part of a value")
    if node.kwargs.get("inplace"):
        return replace(node, kwargs={**node.kwargs, "inplace": False})
    place = _place_of_inplace(node.function)
    if place is not None and len(node.args) > place and node.args[place] is True:
        return replace(node, args=(*node.args[:place], False, *node.args[place + 1 :]))
    return replace(node, function=_pure(node.function))


def _place_of_inplace(function: Callable[..., Any]) -> int | None:
    """Which argument of a function of Python's says that it works in place."""
    try:
        names = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return None
    return names.index("inplace") if "inplace" in names else None


def _pure(function: Callable[..., Any]) -> Callable[..., Any]:
    """`Tensor.add` for `Tensor.add_`, `Tensor.__add__` for `Tensor.__iadd__`, `F.elu` for `F.elu_`."""
    name: str = getattr(function, "__name__", "")
    plain = f"__{name[3:]}" if name.startswith("__i") else name.removesuffix("_")
    homes = (torch.Tensor, torch.nn.functional) if plain != name and name != "__setitem__" else ()
    found: list[Callable[..., Any]] = [getattr(home, plain) for home in homes if hasattr(home, plain)]
    if not found:
        raise NotFunctional(f"{name or function!r} has no form that doesn't write in place")
    return found[0]


def _same_place(one: Any, other: Any) -> bool:
    """Whether two values are the same numbers in memory, under the same shape."""
    if not (isinstance(one, Tensor) and isinstance(other, Tensor)):
        return False
    return one.data_ptr() == other.data_ptr() and one.shape == other.shape and one.stride() == other.stride()


def _memory(value: Any) -> set[int]:
    return {tensor.untyped_storage().data_ptr() for tensor in tensors_in(value)}
