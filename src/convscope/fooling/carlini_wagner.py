"""Carlini and Wagner's attack: the smallest change by optimization, through a variable that keeps to the box (2017)."""

from functools import partial

import torch
from torch import Tensor

from convscope.errors import ImageError
from convscope.fooling.adversarial import Adversarial
from convscope.fooling.attack import Chunk, Given, Images, attack, check_counts, check_positive
from convscope.fooling.smallest import Smallest, Weights
from convscope.fooling.wanted import Classes
from convscope.network.network import Network
from convscope.progress import Watcher

# Of the box: atanh of its very ends is infinite, and an exact 0 or 1 would never move.
_WITHIN = 0.999999
_BETAS, _EPSILON = (0.9, 0.999), 1e-8
# How often in a search it is asked whether an image still gains, and the share of the loss that it must gain by.
_ASKED, _GAIN = 10, 1e-4


def carlini_wagner(
    network: Network,
    image: Images,
    *,
    target: Classes | None = None,
    confidence: float = 0.0,
    searches: int = 9,
    steps: int = 1000,
    rate: float = 0.01,
    weight: float = 1e-3,
    label: Classes | None = None,
    batch: int = 8,
    progress: Watcher | None = None,
) -> Adversarial:
    """Images changed as little as can be, by L2, for another answer (Carlini and Wagner 2017).

        min over w of ‖x(w) − x‖² + c · max(max_{i≠t} Z_i − Z_t, −κ),   x(w) = ½ (tanh w + 1)

    Z are the logits, t the target; without one the margin is that of the label before the best other class. c grows
    tenfold until the attack succeeds, then lies halfway between the largest that failed and the least that did not.

    Parameters
    ----------
    image, target, label, batch
        As for `fgsm`.
    confidence
        κ: by how much the logit must be ahead.
    searches
        How many c are tried.
    steps
        Of Adam for each c, at most; an image that gains nothing any more goes no further.
    rate
        Of Adam.
    weight
        The first c.
    progress
        Called after each step with the images as they are; returning False stops.

    Raises
    ------
    Cancelled, StepFailed, ImageError, TargetError

    >>> import convscope as cs
    >>> net = cs.load("efficientnet-lite0")
    >>> carlini_wagner(net, net.read("chelsea"), searches=2, steps=20, weight=10).success
    True
    """
    check_counts(searches=searches, steps=steps)
    check_positive(rate=rate, weight=weight)
    if not 0 <= confidence < float("inf"):
        raise ImageError(f"got confidence={confidence}, expected 0 or more, in units of logits")
    given = Given.checked(network, image, target, label)

    def perturb(chunk: Chunk) -> Tensor:
        smallest, weights = Smallest(chunk.starts), Weights(weight, chunk.starts)
        for _ in range(searches):
            found = _search(chunk, weights.now, smallest, steps=steps, rate=rate, confidence=confidence)
            weights.judge(found)
        return smallest.images

    return attack(
        network, given, perturb, method="carlini_wagner",
        parameters={
            "confidence": confidence, "searches": searches, "steps": steps, "rate": rate, "weight": weight,
        },
        ball=None, label=label, steps=searches * steps, batch=batch, progress=progress,
    )  # fmt: skip


def _search(chunk: Chunk, weights: Tensor, smallest: Smallest, *, steps: int, rate: float, confidence: float) -> Tensor:
    """Adam from the images themselves, with a weight c for each `(n,)`: whether each succeeded, `(n,)`."""
    start = ((chunk.starts * 2 - 1) * _WITHIN).atanh()
    # What an image is told apart from must be itself, not what it is brought to within the box.
    origin = _image(start)
    change = torch.zeros_like(start)
    means, squares = torch.zeros_like(start), torch.zeros_like(start)
    left = torch.arange(len(start), device=start.device)
    succeeded = torch.zeros(len(start), dtype=torch.bool, device=start.device)
    asked = torch.full((len(start),), torch.inf, dtype=start.dtype, device=start.device)
    every = -(-steps // _ASKED)
    for step in range(steps):
        some, c = chunk.of(left), weights[left]
        images = _image(start[left] + change[left])
        scores, gradient = some.gradient(images, partial(_behind, some, confidence, c))
        behind, apart = _behind(some, confidence, 1.0, scores), images - origin[left]
        reached = some.wanted.reached(scores) & (behind <= -confidence)
        succeeded[left] |= reached
        smallest.note(left[reached], images[reached])
        gradient = (gradient + 2 * apart) * 2 * images * (1 - images)
        means[left] = _BETAS[0] * means[left] + (1 - _BETAS[0]) * gradient
        squares[left] = _BETAS[1] * squares[left] + (1 - _BETAS[1]) * gradient**2
        deviation = (squares[left] / (1 - _BETAS[1] ** (step + 1))).sqrt() + _EPSILON
        change[left] -= rate * means[left] / (1 - _BETAS[0] ** (step + 1)) / deviation
        chunk.steps.done(preview=smallest.images)
        if step % every == 0:
            loss = apart.flatten(1).square().sum(dim=1) + c * behind
            still = loss <= asked[left] - _GAIN * asked[left].abs().where(asked[left].isfinite(), 0)
            asked[left] = loss
            left = left[still]
        if not len(left):
            break
    return succeeded


def _image(w: Tensor) -> Tensor:
    return (w.tanh() + 1) / 2


def _behind(chunk: Chunk, confidence: float, weight: Tensor | float, scores: Tensor) -> Tensor:
    """By how much what is wanted is behind, weighted, `(n,)`; no less than −κ."""
    return weight * (-chunk.wanted.margin(scores)).clamp(min=-confidence)
