"""DeepFool: the nearest border between classes, as if the network were linear, again and again (2016)."""

from collections.abc import Callable

import torch
from torch import Tensor

from convscope.errors import ImageError
from convscope.fooling.adversarial import Adversarial
from convscope.fooling.attack import Chunk, Given, Images, attack, check_counts
from convscope.fooling.ball import Ball, Norm
from convscope.fooling.wanted import Classes
from convscope.network.network import Network
from convscope.progress import Watcher


def deep_fool(
    network: Network,
    image: Images,
    *,
    target: Classes | None = None,
    norm: Norm = "l2",
    steps: int = 50,
    candidates: int = 10,
    overshoot: float = 0.02,
    label: Classes | None = None,
    batch: int = 8,
    progress: Watcher | None = None,
) -> Adversarial:
    """Images changed about as little as can change the answer, by DeepFool (Moosavi-Dezfooli et al. 2016).

        f'_k = z_k − z_label,  w'_k = ∇f'_k,   l = argmin |f'_k| / ‖w'_k‖₂,   r = |f'_l| / ‖w'_l‖₂² · w'_l

    which for a linear network is the exact projection onto the nearest border. Steps r are added up until the answer
    changes at x + (1 + overshoot) · Σ r, cut to [0, 1]; a value that is at an end of that and would go beyond it has no
    part in w'. By "linf", ‖w'‖₁ takes the place of ‖w'‖₂ and r = |f'_l| / ‖w'_l‖₁ · sign w'_l.

    Parameters
    ----------
    image, target, label, batch
        As for `fgsm`. With a target its border alone is gone to.
    norm
        By which the change is to be small: "l2" or "linf".
    steps
        At most so many.
    candidates
        So many of the best classes are thought of, the label among them: each costs a gradient a step.
    overshoot
        How far beyond the border, as a part of the way to it.
    progress
        Called after each step with the images as they are; returning False stops.

    Raises
    ------
    Cancelled, StepFailed, ImageError, TargetError

    >>> import convscope as cs
    >>> net = cs.load("efficientnet-lite0")
    >>> result = deep_fool(net, net.read("chelsea"))
    >>> result.success, bool(result.norms_before_rounding.relative < 3e-3)
    (True, True)
    """
    check_counts(steps=steps)
    if candidates < 2 or not 0 <= overshoot <= 10:
        raise ImageError(f"got candidates={candidates}, overshoot={overshoot}; expected 2 at least, and 0 to 10")
    given = Given.checked(network, image, target, label)
    Ball.checked(norm, None, given.images)  # says what is wrong with the norm

    def perturb(chunk: Chunk) -> Tensor:
        rivals = _rivals(chunk, candidates)
        change, images = torch.zeros_like(chunk.starts), chunk.starts.clone()
        left = torch.arange(len(images), device=images.device)
        for _ in range(steps):
            some = chunk.of(left)
            ahead = _ahead(some, rivals[left])
            scores, slopes = some.answering.several_gradients(images[left], some.at, ahead)
            going = ~some.wanted.reached(scores)
            left = left[going]
            if not len(left):
                break
            open_ways = _within_the_box(slopes[:, going], images[left])
            change[left] += _to_the_nearest(ahead(scores)[:, going], open_ways, norm)
            images[left] = (chunk.starts[left] + (1 + overshoot) * change[left]).clamp(0, 1)
            chunk.steps.done(preview=images)
        return images

    return attack(
        network, given, perturb, method="deep_fool",
        parameters={"norm": norm, "steps": steps, "candidates": candidates, "overshoot": overshoot},
        ball=None, label=label, steps=steps, batch=batch, progress=progress,
    )  # fmt: skip


def _rivals(chunk: Chunk, candidates: int) -> Tensor:
    """The classes whose borders are thought of, `(n, m)`: the best but the label, or the target."""
    if chunk.wanted.targets is not None:
        return chunk.wanted.targets[:, None]
    scores = chunk.scores(chunk.starts).scatter(1, chunk.wanted.labels[:, None], -torch.inf)
    return scores.topk(min(candidates, scores.shape[1]) - 1, dim=1).indices


def _ahead(chunk: Chunk, rivals: Tensor) -> Callable[[Tensor], Tensor]:
    """By how much each rival beats the class there is, `(m, n)`: that of the label, or the best but the target."""

    def ahead(scores: Tensor) -> Tensor:
        if chunk.wanted.targets is not None:
            return chunk.wanted.margin(scores)[None]
        return (scores.gather(1, rivals) - scores.gather(1, chunk.wanted.labels[:, None])).T

    return ahead


def _within_the_box(slopes: Tensor, images: Tensor) -> Tensor:
    """The slopes without those of values that are at an end of the box already and would have to go beyond it."""
    return slopes.where(((images > 0) | (slopes > 0)) & ((images < 1) | (slopes < 0)), 0)


def _to_the_nearest(ahead: Tensor, slopes: Tensor, norm: Norm) -> Tensor:
    """The steps to the nearest of the borders where `ahead` `(m, n)` is 0, by its `slopes` `(m, n, C, H, W)`."""
    flat = slopes.flatten(2)
    steepness = flat.abs().sum(dim=2) if norm == "linf" else torch.linalg.vector_norm(flat, dim=2)
    tiny = torch.finfo(flat.dtype).tiny
    far = (ahead.abs() / steepness.clamp(min=tiny)).where(steepness > 0, torch.inf)
    nearest = far.argmin(dim=0)
    at = torch.arange(len(nearest), device=nearest.device)
    length, slope, steep = far[nearest, at], slopes[nearest, at], steepness[nearest, at].clamp(min=tiny)
    length = length.where(length.isfinite(), 0)  # no border is known of where everything is flat
    along = slope.sign() if norm == "linf" else slope / steep.reshape(-1, 1, 1, 1)
    return length.reshape(-1, 1, 1, 1) * along
