"""Universal: one perturbation that changes the answer to most images."""

from dataclasses import dataclass, fields
from functools import partial

import torch
from PIL import Image
from torch import Tensor

from convscope.errors import ImageError
from convscope.fooling.adversarial import Adversarial
from convscope.fooling.answering import Answering
from convscope.fooling.attack import Given, Images, check_counts, finished, told_classes
from convscope.fooling.ball import Ball, Norm, lengths
from convscope.fooling.wanted import Classes, Wanted
from convscope.image.write import to_picture
from convscope.network.network import Network
from convscope.progress import Steps, Watcher
from convscope.synthesis.optimizers import OPTIMIZERS

_EPSILON = {"linf": 10 / 255, "l2": 2000 / 255}
"""Those of Moosavi-Dezfooli et al. 2017, whose pixels went to 255 and whose images to a norm of 50,000."""

_RATE = 0.1
"""Of epsilon: the optimizer's rate."""

_CAP = 9.0
"""Where the loss of an image counts no further: what is fooled well needs no more of the perturbation."""


@dataclass(frozen=True, kw_only=True)
class Universal(Adversarial):
    """Images that one perturbation was added to; `universal` `(C, H, W)` is that, as it was found."""

    universal: Tensor

    @property
    def rate(self) -> float:
        """The share of images for which it succeeded."""
        return float(self.successes.double().mean())

    # It has more options than what it inherits, which is what a result is for.
    def picture(
        self,
        *,
        which: int | None = None,
        figure: bool = False,
        magnify: float | None = None,
        perturbation: bool = False,
    ) -> Image.Image:
        """As of any adversarial images; or the perturbation alone, on grey, as large as there is room."""
        if perturbation:
            return to_picture((0.5 + 0.5 * self.universal / self.universal.abs().max().clamp(min=1e-12)).cpu())
        return super().picture(which=which, figure=figure, magnify=magnify)


@torch.inference_mode(False)
def universal(
    network: Network,
    images: Images,
    *,
    target: Classes | None = None,
    epsilon: float | None = None,
    norm: Norm = "linf",
    steps: int = 100,
    rate: float = _RATE,
    shift: float = 0.5,
    label: Classes | None = None,
    seed: int = 0,
    batch: int = 8,
    progress: Watcher | None = None,
) -> Universal:
    """One perturbation for many images: a universal one (Moosavi-Dezfooli et al. 2017).

        argmax over ‖v‖ ≤ ε of the mean over x of min(J(clip(x + v)), β)

    by Adam over random batches of the images, v brought back into the ball after each step and J, the cross-entropy
    that the other attacks raise, cut at β = 9 (Shafahi et al. 2020: as good as steps of DeepFool, and many times as
    fast). In each step the images are shifted round and every other one mirrored, so that v has seen more than there
    are: made with a few images as they are, it fools hardly any others.

    Parameters
    ----------
    images
        `(N, C, H, W)` in [0, 1], or several of one size; the more the better.
    target, norm, label
        As for `fgsm`; with a target all are to become it.
    epsilon
        How large the perturbation may be; by default 10/255, and by "l2" 2000/255, as in the paper.
    steps
        How many batches.
    rate
        Of Adam, as a part of epsilon; by "l2", of epsilon spread evenly over all values.
    shift
        How far images are shifted at most, as a part of their sides; 0 leaves them as they are, not mirrored either.
    seed
        Of the batches and shifts.
    batch
        Images in each.
    progress
        Called after each step with the perturbation on grey; returning False stops.

    Raises
    ------
    Cancelled, StepFailed, ImageError, TargetError

    >>> import convscope as cs
    >>> net = cs.load("efficientnet-lite0")
    >>> result = universal(net, [net.read("chelsea"), net.read("rocket")], steps=4)
    >>> result.universal.shape, result.images.shape
    (torch.Size([3, 224, 224]), torch.Size([2, 3, 224, 224]))
    """
    check_counts(steps=steps, batch=batch)
    if not 0 < rate <= 1:
        raise ImageError(f"got rate={rate}, expected a part of epsilon, above 0 and at most 1")
    if not 0 <= shift <= 0.5:
        raise ImageError(f"got shift={shift}, expected a part of the image's sides, from 0 to 0.5")
    given = Given.checked(network, images, target, label)
    ball = Ball.checked(norm, _EPSILON.get(norm) if epsilon is None else epsilon, given.images)
    count, shape = len(given.images), (given.images.shape[1], given.images.shape[2], given.images.shape[3])
    answering = Answering(network, shape, count)
    found = _found(
        given, answering, ball, steps=steps, rate=rate, shift=shift, seed=seed, batch=batch, progress=progress
    )
    exact = ball.projected(given.images + found, given.images)
    parameters = {"epsilon": ball.epsilon, "norm": norm, "steps": steps, "rate": rate, "shift": shift}
    made = finished(
        network, given, exact, None, answering, ball=ball, method="universal",
        parameters={**told_classes(network, given, label), **parameters}, batch=batch, seed=seed,
    )  # fmt: skip
    known = {each.name: getattr(made, each.name) for each in fields(made)}
    return Universal(**known, universal=found[0].to(made.images.device))


def _found(
    given: Given,
    answering: Answering,
    ball: Ball,
    *,
    steps: int,
    rate: float,
    shift: float,
    seed: int,
    batch: int,
    progress: Watcher | None,
) -> Tensor:
    """The perturbation, `(1, C, H, W)`."""
    change = torch.zeros_like(given.images[:1])
    spread = ball.epsilon if ball.norm == "linf" else ball.epsilon / change.numel() ** 0.5
    climb = OPTIMIZERS["adam"](rate=rate * spread).over(change)
    draw, watched, waiting = torch.Generator().manual_seed(seed), Steps(steps, progress), torch.arange(0)
    for _ in range(steps):
        if not len(waiting):
            waiting = torch.randperm(len(given.images), generator=draw)
        at, waiting = waiting[:batch], waiting[batch:]
        here = at.to(change.device)
        starts = _shifted(given.images[here], shift, draw)
        climb.step(partial(_loss, answering, given.wanted[here], starts, change, at), 1.0)
        # The ball alone: the box is each image's own affair.
        with torch.no_grad():
            change.copy_(_within(change, ball))
        watched.done(preview=(0.5 + change).clamp(0, 1))
    return change.detach()


def _shifted(images: Tensor, shift: float, draw: torch.Generator) -> Tensor:
    """Each image shifted round by at most such a part of its sides, and every other one mirrored, by chance."""
    if not shift:
        return images
    rows, columns = images.shape[-2:]
    moved = []
    for image, (down, along, side) in zip(images, torch.rand(len(images), 3, generator=draw).tolist(), strict=True):
        far = round((2 * down - 1) * shift * rows), round((2 * along - 1) * shift * columns)
        rolled = image.roll(far, dims=(-2, -1))
        moved.append(rolled.flip(-1) if side < 0.5 else rolled)
    return torch.stack(moved)


def _loss(answering: Answering, wanted: Wanted, starts: Tensor, change: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
    """The mean loss of some images with the change on them, `(1,)`, and its gradient."""

    def value(scores: Tensor) -> Tensor:
        loss = wanted.loss(scores)
        return loss.clamp(max=_CAP) if wanted.targets is None else loss

    scores, gradient = answering.gradient((starts + change.detach()).clamp(0, 1), at, value)
    return value(scores).mean()[None], gradient.mean(dim=0, keepdim=True)


def _within(change: Tensor, ball: Ball) -> Tensor:
    if ball.norm == "linf":
        return change.clamp(-ball.epsilon, ball.epsilon)
    return change * min(1.0, ball.epsilon / max(float(lengths(change)), 1e-30))
