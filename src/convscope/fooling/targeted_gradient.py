"""Targeted gradient: plain steps up a class's score until the network answers it (L54)."""

from functools import partial

import torch
from torch import Tensor

from convscope.errors import ImageError, TargetError
from convscope.fooling.adversarial import Adversarial
from convscope.fooling.attack import Chunk, Given, Images, attack, check_counts, check_positive
from convscope.fooling.ball import lengths
from convscope.fooling.wanted import Classes
from convscope.network.heads import probabilities
from convscope.network.network import Network
from convscope.progress import Watcher


def targeted_gradient(
    network: Network,
    image: Images,
    target: Classes,
    *,
    rate: float = 0.2,
    steps: int = 100,
    confidence: float = 0.0,
    label: Classes | None = None,
    batch: int = 8,
    progress: Watcher | None = None,
) -> Adversarial:
    """Images that became another class by the gradient of its score alone.

        x ← clip(x + rate · g / ‖g‖₂),   g = ∂ z_target / ∂x

    Nothing keeps x near the image but that it stops as soon as the target is first.

    Parameters
    ----------
    image, target, label, batch
        As for `fgsm`; there is no way without a target.
    rate
        The length of a step; values in [0, 1].
    steps
        At most so many.
    confidence
        The probability that the target must have, too, in [0, 1).
    progress
        Called after each step with the images as they are; returning False stops.

    Raises
    ------
    Cancelled, StepFailed, ImageError, TargetError

    >>> import convscope as cs
    >>> net = cs.load("efficientnet-lite0")
    >>> result = targeted_gradient(net, net.read("chelsea"), "ostrich", steps=50)
    >>> result.success, int(result.queries) < 50
    (True, True)
    """
    check_counts(steps=steps)
    check_positive(rate=rate)
    if not 0 <= confidence < 1:
        raise ImageError(f"got confidence={confidence}, expected a probability from 0 to below 1")
    given = Given.checked(network, image, target, label)

    def perturb(chunk: Chunk) -> Tensor:
        images, left = chunk.starts.clone(), torch.arange(len(chunk.starts), device=chunk.starts.device)
        for _ in range(steps):
            some = chunk.of(left)
            scores, gradient = some.gradient(images[left], partial(_of_targets, some))
            sure = _of_targets(some, probabilities(scores, network.head)) >= confidence
            going = ~(some.wanted.reached(scores) & sure)
            left, gradient = left[going], gradient[going]
            if not len(left):
                break
            step = gradient / lengths(gradient).clamp(min=torch.finfo(gradient.dtype).tiny).reshape(-1, 1, 1, 1)
            images[left] = (images[left] + rate * step).clamp(0, 1)
            chunk.steps.done(preview=images)
        return images

    return attack(
        network, given, perturb, method="targeted_gradient",
        parameters={"rate": rate, "steps": steps, "confidence": confidence},
        ball=None, label=label, steps=steps, batch=batch, progress=progress,
    )  # fmt: skip


def _of_targets(chunk: Chunk, values: Tensor) -> Tensor:
    """Of values `(n, K)` those of the targets, `(n,)`."""
    if chunk.wanted.targets is None:
        raise TargetError("got no target, expected the class that the image is to become")
    return values.gather(1, chunk.wanted.targets[:, None])[:, 0]
