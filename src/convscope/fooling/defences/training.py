"""How networks of digits are trained, and what each defence changes about it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from convscope.fooling.ball import Ball
from convscope.fooling.defences.digits import CLASSES, blanks, noise, shuffled
from convscope.fooling.withstanding import Meter

Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""Of logits `(N, K)` and the right classes `(N,)`."""

Batch: TypeAlias = tuple[Tensor, Tensor]
"""Images and their classes."""

Changed: TypeAlias = Callable[[nn.Module, Batch, Generator], Batch]
"""What a network is shown instead of a batch."""

_BATCH = 64
_REACH = 2.5


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Of the right class among all."""
    return F.cross_entropy(logits, labels)


def each_by_itself(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of each class being there or not."""
    wanted = F.one_hot(labels, logits.shape[1]).to(logits)
    return F.binary_cross_entropy_with_logits(logits, wanted, reduction="sum") / len(labels)


@dataclass(frozen=True)
class Trained:
    """A network in evaluation mode, and the processor's seconds that it took, whatever else that had to do."""

    module: nn.Module
    seconds: float


def train(
    module: nn.Module,
    examples: Batch,
    *,
    epochs: int,
    seed: int,
    meter: Meter,
    changed: Changed | None = None,
    loss: Loss = cross_entropy,
    rate: float = 2e-3,
) -> Trained:
    """Train by Adam with a rate that falls to 0; all that is drawn is drawn by `seed`.

    The meter is told of as many passes as `passes_of` says.
    """
    images, labels = examples
    begun, draw = time.process_time(), Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(module.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=epochs)
    with torch.inference_mode(False), torch.enable_grad():
        for _ in range(epochs):
            for at in torch.split(torch.randperm(len(images), generator=draw), _BATCH):
                batch = images[at], labels[at]
                shown, right = batch if changed is None else changed(module, batch, draw)
                optimizer.zero_grad()
                torch.autograd.backward(loss(module(shown), right))
                optimizer.step()
                meter.done(passes_of(len(at), changed))
            schedule.step()
    return Trained(module.eval().requires_grad_(False), time.process_time() - begun)


def passes_of(images: int, changed: Changed | None) -> int:
    """How many passes, forward and back, it takes to train on so many images once."""
    return images * (1 + (changed.steps if isinstance(changed, Adversarially) else 0))


@dataclass(frozen=True)
class Adversarially:
    """Shown instead of each image what PGD makes of it (Madry et al. 2018)."""

    epsilon: float
    steps: int = 7

    def __call__(self, module: nn.Module, batch: Batch, draw: Generator) -> Batch:
        images, labels = batch
        ball = Ball("linf", self.epsilon)
        start = torch.rand(images.shape, generator=draw) * 2 - 1
        found = ball.projected(images + self.epsilon * start, images)
        for _ in range(self.steps):
            found.requires_grad_()
            (gradient,) = torch.autograd.grad(F.cross_entropy(module(found), labels, reduction="sum"), found)
            step = _REACH * self.epsilon / self.steps * ball.steepest(gradient)
            found = ball.projected(found.detach() + step, images)
        return found, labels


@dataclass(frozen=True)
class WithWhatIsNone:
    """Shown beside half as many images that are no digits, as one class more.

    They are noise, blanks, digits with their pixels shuffled, and digits that FGSM has changed by up to `epsilon`.
    """

    epsilon: float

    def __call__(self, module: nn.Module, batch: Batch, draw: Generator) -> Batch:
        images, labels = batch
        count = max(1, len(images) // 8)
        some = images[:count], labels[:count]
        # Not the least changes: those are digits still.
        farther = self.epsilon * float(0.5 + 0.5 * torch.rand((), generator=draw))
        attacked, _ = Adversarially(farther, steps=1)(module, some, draw)
        others = torch.cat([noise(count, draw), blanks(count, draw), shuffled(images[-count:], draw), attacked])
        return torch.cat([images, others]), torch.cat([labels, torch.full((len(others),), CLASSES)])
