"""Box-constrained L-BFGS: the attack by which adversarial images were found (Szegedy et al. 2014)."""

import torch
from torch import Tensor
from torch.nn.functional import softplus

from convscope.fooling.adversarial import Adversarial
from convscope.fooling.attack import Chunk, Given, Images, attack, check_counts, check_positive
from convscope.fooling.smallest import Smallest, Weights
from convscope.fooling.wanted import Classes, Wanted
from convscope.network.network import Network
from convscope.progress import Watcher
from convscope.synthesis.optimizers import OPTIMIZERS


def box_lbfgs(
    network: Network,
    image: Images,
    *,
    target: Classes | None = None,
    searches: int = 6,
    steps: int = 15,
    weight: float = 0.1,
    label: Classes | None = None,
    batch: int = 8,
    progress: Watcher | None = None,
) -> Adversarial:
    """Images changed little for another answer, by box-constrained L-BFGS (Szegedy et al. 2014).

        min over r of c · ‖r‖² + loss(x + r, target),   x + r in [0, 1],   with 1 / c as small as still succeeds

    loss is the cross-entropy; without a target it is −log(1 − p_label). What is optimized are pixels p without bounds:
    the network sees them cut to the box, and how far beyond it they lie counts, squared, as loss. So a smallest p lies
    in the box, and is one of the problem with bounds.

    Parameters
    ----------
    image, target, label, batch
        As for `fgsm`.
    searches
        How many c are tried: 1 / c grows tenfold until the attack succeeds, then lies halfway between the largest that
        failed and the least that did not.
    steps
        Of L-BFGS for each c.
    weight
        The first 1 / c.
    progress
        Called after each step with the images as they are; returning False stops.

    Raises
    ------
    Cancelled, StepFailed, ImageError, TargetError

    >>> import convscope as cs
    >>> net = cs.load("efficientnet-lite0")
    >>> box_lbfgs(net, net.read("chelsea"), target="ostrich", searches=2, steps=8).success
    True
    """
    check_counts(searches=searches, steps=steps)
    check_positive(weight=weight)
    given = Given.checked(network, image, target, label)

    def perturb(chunk: Chunk) -> Tensor:
        smallest, weights = Smallest(chunk.starts), Weights(weight, chunk.starts)
        for _ in range(searches):
            weights.judge(_search(chunk, weights.now, smallest, steps))
        return smallest.images

    return attack(
        network, given, perturb, method="box_lbfgs",
        parameters={"searches": searches, "steps": steps, "weight": weight},
        ball=None, label=label, steps=searches * steps, batch=batch, progress=progress,
    )  # fmt: skip


def _search(chunk: Chunk, weights: Tensor, smallest: Smallest, steps: int) -> Tensor:
    """L-BFGS from the images themselves, the loss weighted by `(n,)`: whether each succeeded, `(n,)`."""
    pixels = chunk.starts.clone()
    succeeded = torch.zeros(len(pixels), dtype=torch.bool, device=pixels.device)
    everywhere = torch.arange(len(pixels), device=pixels.device)

    def evaluate() -> tuple[Tensor, Tensor]:
        images = pixels.clamp(0, 1)
        change, beyond = images - chunk.starts, pixels - images
        scores, slope = chunk.gradient(images, lambda seen: weights * _loss(chunk.wanted, seen))
        reached = chunk.wanted.reached(scores)
        succeeded[:] |= reached
        smallest.note(everywhere[reached], images[reached])
        value = weights * _loss(chunk.wanted, scores) + (change**2 + beyond**2).flatten(1).sum(dim=1)
        # Beyond the box nothing changes but how far beyond it is.
        return -value, -torch.where(beyond == 0, slope + 2 * change, 2 * beyond)

    climb = OPTIMIZERS["lbfgs"]().over(pixels)
    for _ in range(steps):
        climb.step(evaluate, 1.0)
        chunk.steps.done(preview=smallest.images)
    return succeeded


def _loss(wanted: Wanted, scores: Tensor) -> Tensor:
    """What is to become small, `(n,)`: −log p of the target, or −log(1 − p) of the label."""
    return softplus(-wanted.odds(scores))
