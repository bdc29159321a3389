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

# Where batch norm's argument `training` stands.
_TRAINING = 5
_FOLDABLE = ("conv1d", "conv2d", "conv3d", "linear")


def uses_batch_statistics(node: Node) -> bool:
    """Whether a call is batch norm by the mean and variance of what it is given, so that images depend on others."""
    return name_of(node.function) == "batch_norm" and bool(
        node.kwargs.get("training", node.args[_TRAINING] if len(node.args) > _TRAINING else False)
    )


def folded(nodes: Sequence[Node], output: Any, values: Sequence[Any]) -> list[Node]:
    """The nodes with each batch norm that alone reads such a layer replaced by that layer with other weights.

    The layer's own node stays as it was, and unused unless it is asked for. `values` are those of some run.
    """
    readers = Counter(ref.node for node in nodes for ref in refs_in((node.args, node.kwargs)))
    readers.update(ref.node for ref in refs_in(output))
    return [_folded(node, nodes, readers, values) or node for node in nodes]


def _folded(node: Node, nodes: Sequence[Node], readers: Counter[int], values: Sequence[Any]) -> Node | None:
    if node.function is not torch.nn.functional.batch_norm or uses_batch_statistics(node):
        return None
    norm = _call(node)
    below = norm["input"]
    if not isinstance(below, Ref) or readers[below.node] != 1:
        return None
    layer = nodes[below.node]
    if name_of(layer.function) not in _FOLDABLE:
        return None
    call = _call(layer)
    weight, bias = (_constant(call[name], nodes) for name in ("weight", "bias"))
    mean, variance, gain, shift = (
        _constant(norm[name], nodes) for name in ("running_mean", "running_var", "weight", "bias")
    )
    given = (call["bias"], bias), (norm["weight"], gain), (norm["bias"], shift)
    if weight is None or mean is None or variance is None or any(a is not None and b is None for a, b in given):
        return None
    # With another number of dimensions, what the norm takes for channels is not the layer's.
    if values[below.node].dim() != weight.dim():
        return None
    scale = (_exact(variance) + norm["eps"]).rsqrt() * (1 if gain is None else _exact(gain))
    moved = (0 if bias is None else _exact(bias)) - _exact(mean)
    new = {
        "weight": (_exact(weight) * scale.reshape(-1, *[1] * (weight.dim() - 1))).to(weight),
        "bias": (moved * scale + (0 if shift is None else _exact(shift))).to(weight),
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


def _exact(weight: Tensor) -> Tensor:
    """In double precision, which not every accelerator has."""
    return weight.cpu().double()
