"""Batch norm folded into the convolution or linear layer before it.

In evaluation mode batch norm is y = γ (x − μ) / √(σ² + ε) + β, one factor and one shift a channel. Behind
x = W·u + b that is y = (sW)·u + (s(b − μ) + β) with s = γ / √(σ² + ε): the same layer with other weights.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from convscope.network.ops import name_of, operation_of
from convscope.network.passage import Call
from convscope.network.trace import Node, Ref, refs_in

_FOLDABLE = ("conv1d", "conv2d", "conv3d", "linear")


def folded(nodes: Sequence[Node], output: Any) -> list[Node]:
    """The nodes with each batch norm that alone reads such a layer replaced by that layer with other weights.

    The layer's own node stays as it was, and unused unless it is asked for.
    """
    readers = Counter(ref.node for node in nodes for ref in refs_in((node.args, node.kwargs)))
    readers.update(ref.node for ref in refs_in(output))
    return [_folded(node, nodes, readers) or node for node in nodes]


def _folded(node: Node, nodes: Sequence[Node], readers: Counter[int]) -> Node | None:
    if node.function is not torch.nn.functional.batch_norm:
        return None
    norm = _call(node)
    below = norm["input"]
    statistics = [
        each for name in ("running_mean", "running_var") if (each := _constant(norm[name], nodes)) is not None
    ]
    if norm["training"] or not isinstance(below, Ref) or readers[below.node] != 1:
        return None
    layer = nodes[below.node]
    if name_of(layer.function) not in _FOLDABLE:
        return None
    call = _call(layer)
    weight, bias = _constant(call["weight"], nodes), _constant(call["bias"], nodes)
    if weight is None or (bias is None and call["bias"] is not None) or len(statistics) != 2:
        return None
    mean, variance = (each.double() for each in statistics)
    scale = (variance + norm["eps"]).rsqrt()
    gain, shift = (_constant(norm[name], nodes) for name in ("weight", "bias"))
    scale = scale if gain is None else scale * gain.double()
    moved = (0 if bias is None else bias.double()) - mean
    new = {
        "weight": (weight.double() * scale.reshape(-1, *[1] * (weight.dim() - 1))).to(weight.dtype),
        "bias": (moved * scale + (0 if shift is None else shift.double())).to(weight.dtype),
    }
    return replace(node, function=layer.function, args=(), kwargs={**call.arguments, **new})


def _call(node: Node) -> Call:
    operation = operation_of(node.function)
    assert operation is not None
    return operation.bind(node.args, node.kwargs)


def _constant(value: Any, nodes: Sequence[Node]) -> Tensor | None:
    """A weight: given as it is, or computed from weights alone while the graph was recorded."""
    if isinstance(value, Ref):
        value = nodes[value.node].value
    return value.detach() if isinstance(value, Tensor) else None
