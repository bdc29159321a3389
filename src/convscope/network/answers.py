"""Answers: what a network returned for a batch, read as logits, scores of targets and probabilities."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor

from convscope.network.heads import Head, class_logits, plain_logits, probabilities
from convscope.network.target import Target


@dataclass(frozen=True)
class Reader:
    """How an output is read: `take` takes the logits out where it is not plain, `head` says what they mean.

    `name` is the network's, for errors.
    """

    head: Head
    take: Callable[[Any], Tensor] | None
    name: str

    def logits(self, output: Any) -> Tensor:
        """The classes' logits `(N, K, …)` in what the module returned."""
        plain = self.take(output) if self.take is not None else plain_logits(output, self.name)
        return class_logits(plain, self.head)


@dataclass(frozen=True)
class Answers:
    """What a network returned for a batch of `count` images, with the `layers` that were kept."""

    output: Any
    layers: Mapping[str, Tensor]
    reader: Reader
    count: int

    @cached_property
    def logits(self) -> Tensor:
        """`(N, K)`, or `(N, K, rows, columns)` where the output is maps."""
        return self.reader.logits(self.output)

    @cached_property
    def probabilities(self) -> Tensor:
        """`(N, K)`, in [0, 1] unless the head is "none"."""
        return probabilities(self.logits, self.reader.head)

    def score(self, target: Target) -> Tensor:
        """The target's value for each image, `(N,)`."""
        if target.function is not None:
            seen = self.reader.take(self.output) if self.reader.take is not None else self.output
        else:
            seen = self.logits if target.needs_output else None
        return target.score(seen, self.layers, count=self.count)

    def probability(self, target: Target) -> Tensor | None:
        """The probability of the class that the target is, `(N,)`; None where it is no single class."""
        return None if target.index is None else self.probabilities[:, target.index]
