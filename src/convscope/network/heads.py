"""Heads: what a network's output means, as logits of classes and as probabilities."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from convscope.errors import NetworkError, nearest
from convscope.network.trace import tensors_in

Head = Literal["softmax", "sigmoid", "single-logit", "none"]

# Under which keys dicts and ModelOutputs keep their logits.
_LOGITS = ("logits", "out")


@dataclass(frozen=True)
class Prediction:
    """One class and its probability in [0, 1]."""

    label: str
    index: int
    probability: float


def check_head(head: Head) -> Head:
    """The head itself; NetworkError if it is none of those known."""
    if head not in get_args(Head):
        raise NetworkError(f"unknown head {head!r}; {nearest(str(head), get_args(Head))}")
    return head


def plain_logits(output: Any, network: str) -> Tensor:
    """The tensor of logits in what a module returned: it itself, or in a dict, ModelOutput or tuple the only one.

    Raises NetworkError, with the keys, where there are several.
    """
    if isinstance(output, Tensor):
        return output
    if isinstance(output, Mapping):
        found = [output[key] for key in _LOGITS if key in output][:1]
        found = found or [value for value in output.values() if isinstance(value, Tensor)]
        what, how = f"a dict with the keys {', '.join(map(str, output))}", 'out["KEY"]'
    else:
        found = list(tensors_in(output))
        what, how = f"a {type(output).__name__} with {len(found)} tensors", "out[0]"
    if len(found) != 1:
        raise NetworkError(f"{network} returns {what}; say which are the logits, as output=lambda out: {how}")
    logits: Tensor = found[0]
    return logits


def class_logits(logits: Tensor, head: Head) -> Tensor:
    """Logits `(N, K, …)` of the classes. A single logit z, `(N,)` or `(N, 1)`, is -z for class 0 and z for class 1."""
    if head == "single-logit":
        column = logits.reshape(len(logits), 1) if logits.dim() <= 2 and logits.numel() == len(logits) else logits
        if column.shape[1] != 1:
            raise NetworkError(
                f"head 'single-logit' for outputs of shape {tuple(logits.shape)}; expected (N,) or (N, 1)"
            )
        return torch.cat([-column, column], dim=1)
    return logits[:, None] if logits.dim() == 1 else logits


def probabilities(logits: Tensor, head: Head) -> Tensor:
    """Logits `(N, K, …)` as probabilities `(N, K)`; over maps, their mean."""
    functions = {"softmax": lambda: logits.softmax(dim=1), "none": lambda: logits}
    values = functions.get(head, logits.sigmoid)()
    return values.flatten(2).mean(dim=2) if values.dim() > 2 else values
