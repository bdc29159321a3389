"""Wanted: what an attack is to reach for each image, and how near it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from convscope.errors import ImageError, TargetError
from convscope.fooling.classes import class_of
from convscope.network.answers import Answers
from convscope.network.network import Network
from convscope.network.target import TargetLike

Classes: TypeAlias = TargetLike | Sequence[TargetLike] | Tensor
"""A class for all images, or one for each."""


def class_scores(answers: Answers) -> Tensor:
    """Logits `(N, K)`; over maps, their mean."""
    logits = answers.logits
    return logits.flatten(2).mean(dim=2) if logits.dim() > 2 else logits


@dataclass(frozen=True)
class Wanted:
    """What is to become of each image: `targets` `(N,)`, or where that is None anything but `labels` `(N,)`."""

    labels: Tensor
    targets: Tensor | None

    def __getitem__(self, at: Tensor | slice) -> "Wanted":
        return Wanted(self.labels[at], None if self.targets is None else self.targets[at])

    def loss(self, scores: Tensor) -> Tensor:
        """What an attack raises, `(N,)`: the cross-entropy of the label, or less that of the target."""
        if self.targets is None:
            return cross_entropy(scores, self.labels, reduction="none")
        return -cross_entropy(scores, self.targets, reduction="none")

    def margin(self, scores: Tensor) -> Tensor:
        """By how much the best class that is wanted beats the best that is not, `(N,)`; above 0 it is reached."""
        own, others = self._apart(scores)
        return self._signed(own - others.amax(dim=1))

    def odds(self, scores: Tensor) -> Tensor:
        """The same against all other classes together, `(N,)`: by softmax, the logarithm of p / (1 − p) for the target.

        Its gradient looks to all rivals at once, where that of the margin goes from one to the next.
        """
        own, others = self._apart(scores)
        return self._signed(own - others.logsumexp(dim=1))

    def _apart(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """The score of the target, or of the label, `(N,)`; and those of the others `(N, K)`."""
        index = (self.labels if self.targets is None else self.targets)[:, None]
        # Masked, not multiplied by 0: among negative logits a 0 would be the largest.
        return scores.gather(1, index)[:, 0], scores.scatter(1, index, -torch.inf)

    def _signed(self, ahead: Tensor) -> Tensor:
        return -ahead if self.targets is None else ahead

    def reached(self, scores: Tensor) -> Tensor:
        """Whether it is so, `(N,)`."""
        return self.margin(scores) > 0


def wanted_of(
    network: Network, images: Tensor, target: Classes | None, label: Classes | None, answers: Sequence[int]
) -> tuple[Wanted, list[str] | None]:
    """What is wanted of images whose classes the network now `answers`, and the targets' texts.

    Raises TargetError where there is no other class to become, for a target that is no class or is there already.
    """
    check_classes(network)
    labels = torch.tensor(answers if label is None else [index for index, _ in _indices(network, images, label)])
    if target is None:
        return Wanted(labels.to(network.device), None), None
    named = _indices(network, images, target)
    for number, (index, text) in enumerate(named):
        if index in (answers[number], int(labels[number])):
            which = "the image" if len(images) == 1 else f"image {number}"
            raise TargetError(f"{which} is {text!r} already; expected another class as the target")
    targets = torch.tensor([index for index, _ in named])
    return Wanted(labels.to(network.device), targets.to(network.device)), [text for _, text in named]


def check_classes(network: Network) -> None:
    """Raise TargetError for a network that tells no two classes apart."""
    classes = network.classes
    if classes is None or classes < 2:
        told = "no classes" if classes is None else "one class"
        raise TargetError(f"{network.name} has {told}: there is none to be led to; expected two at least")


def _indices(network: Network, images: Tensor, given: Classes) -> list[tuple[int, str]]:
    several = given.tolist() if isinstance(given, Tensor) else given
    if isinstance(several, str) or not isinstance(several, Sequence):
        return [class_of(network, several)] * len(images)
    if len(several) != len(images):
        raise ImageError(f"got {len(several)} classes for {len(images)} images; expected one, or one for each")
    return [class_of(network, each) for each in several]
