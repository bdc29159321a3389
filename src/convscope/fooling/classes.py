"""Classes: which a network knows, and how sure of them it is."""

from collections.abc import Sequence

import torch
from torch import Tensor

from convscope.errors import TargetError
from convscope.network.heads import Head
from convscope.network.network import Network
from convscope.network.target import TargetLike


def class_count(network: Network) -> int:
    """How many classes it gives probabilities of. Raises TargetError where it gives none."""
    count = network.classes
    if count is None or network.head == "none":
        why = "its output is maps" if count is None else "its head is 'none'"
        raise TargetError(f"{network.name} gives no probabilities: {why}; take a classifier, or say what its head is")
    return count


def class_of(network: Network, target: TargetLike) -> tuple[int, str]:
    """The class that a target is, and its text. Raises TargetError for a target that is no single class."""
    asked = network.target(target)
    if asked.index is None:
        raise TargetError(f"{asked.text!r} is no single class; expected one: a label, class:N or its index")
    return asked.index, asked.text


def class_index(network: Network, target: TargetLike) -> int:
    """The class alone."""
    return class_of(network, target)[0]


def class_name(network: Network, index: int) -> str:
    """Its label, or its number where there are none."""
    return network.labels[index] if network.labels else f"class {index}"


def log_probabilities(logits: Tensor, head: Head) -> Tensor:
    """Logits `(N, K, …)` as logarithms of probabilities `(N, K)`, with a slope where probabilities have none any more.

    Over maps, their mean.
    """
    logs = logits.log_softmax(dim=1) if head == "softmax" else torch.nn.functional.logsigmoid(logits)
    return logs.flatten(2).mean(dim=2) if logs.dim() > 2 else logs


def reread(network: Network, images: Tensor, *, batch: int = 8) -> Tensor:
    """The probabilities `(N, K)` of images, on the processor."""
    rows = [network.answers(chunk).probabilities.float().cpu() for chunk in torch.split(images, batch)]
    return torch.cat(rows)


def random_classes(owned: Sequence[int], count: int, draws: Sequence[torch.Generator]) -> list[int]:
    """A random class for each image that is not its `owned` one; of a single class there is no other."""
    if count < 2:
        raise TargetError(f"got target='random' for a network of {count} class, expected 2 or more")
    found = [int(torch.randint(count - 1, (), generator=draw)) for draw in draws]
    return [one + (one >= own) for one, own in zip(found, owned, strict=True)]
