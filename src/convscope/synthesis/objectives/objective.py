"""Objectives: what is to become large, and their algebra.

>>> from convscope.synthesis.objectives import energy
>>> (energy("blocks.3") * 2 - energy("blocks.5")).text
'2 × energy of blocks.3 − energy of blocks.5'
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from convscope.errors import TargetError
from convscope.network.answers import Answers
from convscope.network.network import Network
from convscope.network.target import Target


@dataclass(frozen=True)
class Seen:
    """What an objective may read: the images `(N, C, H, W)` as the network saw them, and what it answered."""

    images: Tensor
    answers: Answers

    def layer(self, name: str) -> Tensor:
        """The activations `(N, …)` of a layer that the objective asked for."""
        if name not in self.answers.layers:
            raise TargetError(f"layer {name!r} is not run for this image: the path depends on what is seen")
        return self.answers.layers[name]


@dataclass(frozen=True)
class Objective:
    """A number for each image that is to become large.

    `value` computes it, `(N,)`, of what was seen; `layers` are those whose activations it reads, and `whole` says
    whether it reads the network's output; `text` says it in words. Objectives add, subtract and scale.
    """

    text: str
    value: Callable[[Seen], Tensor]
    layers: tuple[str, ...] = ()
    whole: bool = False

    @property
    def asks(self) -> bool:
        """Whether it reads anything of what the network answers, and not the images alone."""
        return self.whole or bool(self.layers)

    def __add__(self, other: "Objective") -> "Objective":
        return self._joined(other, " + ", lambda seen: self.value(seen) + other.value(seen))

    def __sub__(self, other: "Objective") -> "Objective":
        return self._joined(other, " − ", lambda seen: self.value(seen) - other.value(seen))

    def __mul__(self, factor: float) -> "Objective":
        text = f"({self.text})" if " + " in self.text or " − " in self.text else self.text
        return Objective(f"{factor:g} × {text}", lambda seen: self.value(seen) * factor, self.layers, self.whole)

    __rmul__ = __mul__

    def _joined(self, other: "Objective", sign: str, value: Callable[[Seen], Tensor]) -> "Objective":
        layers = tuple(dict.fromkeys([*self.layers, *other.layers]))
        return Objective(f"{self.text}{sign}{other.text}", value, layers, self.whole or other.whole)


def each(objectives: Sequence[Objective]) -> Objective:
    """The first objective for the first image of the batch, the second for the second, and so on."""
    distinct = list({id(one): one for one in objectives}.values())
    if len(distinct) == 1:
        return distinct[0]

    def value(seen: Seen) -> Tensor:
        values = {id(one): one.value(seen) for one in distinct}
        return torch.stack([values[id(one)][index] for index, one in enumerate(objectives)])

    layers = tuple(dict.fromkeys(layer for one in distinct for layer in one.layers))
    text = ", ".join(one.text for one in objectives)
    return Objective(text, value, layers, any(one.whole for one in distinct))


def asked(target: Target) -> Objective:
    """The value of a target: a class's logit, a unit, a channel's or a layer's mean, a difference, a function.

    For units of layers with space it is as `network.score` has it, the mean over all that the target doesn't pin down.
    """
    return Objective(target.text, lambda seen: seen.answers.score(target), target.layers, target.needs_output)


def measured(network: Network, objective: Objective, images: Tensor) -> Tensor:
    """The objective of images `(N, C, H, W)` as they are, `(N,)`, on the processor."""
    known = network.layers_for(images) if objective.layers else {}
    own = [known[name].name for name in objective.layers]
    with torch.no_grad():
        output, kept = network.run(images, own, whole=objective.whole)
        layers = {name: kept[each] for name, each in zip(objective.layers, own, strict=True) if each in kept}
        return objective.value(Seen(images, Answers(output, layers, network.reader, len(images)))).cpu()
