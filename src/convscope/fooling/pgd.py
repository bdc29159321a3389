"""PGD: projected gradient descent from anywhere in the ball (Madry et al. 2018)."""

from convscope.fooling.adversarial import Adversarial
from convscope.fooling.attack import Images
from convscope.fooling.ball import Norm
from convscope.fooling.bim import stepped
from convscope.fooling.wanted import Classes
from convscope.network.network import Network
from convscope.progress import Watcher

REACH = 2.5
"""All steps together, in epsilons, if they led one way: from any start to any place in the ball, with some to spare."""


def pgd(
    network: Network,
    image: Images,
    *,
    target: Classes | None = None,
    epsilon: float | None = None,
    norm: Norm = "linf",
    steps: int = 40,
    step: float | None = None,
    label: Classes | None = None,
    seed: int = 0,
    batch: int = 8,
    progress: Watcher | None = None,
) -> Adversarial:
    """Adversarial images by projected gradient descent: BIM from a random start.

        x₀ evenly from the ball
        x ← clip(x + α · sign ∇J(x, label)),   or towards a target  x ← clip(x − α · sign ∇J(x, target))

    clip brings x back into the ball of ε around the image and into [0, 1]. By "l2" steps go along ∇J / ‖∇J‖.

    Parameters
    ----------
    image, target, epsilon, norm, label, batch
        As for `fgsm`.
    steps
        How many.
    step
        α; by default 2.5 epsilon / steps, as Madry et al. took it for CIFAR (epsilon / 30 for MNIST).
    seed
        Of the starts; image n has that of seed + n.
    progress
        Called after each step with the images as they are; returning False stops.

    Raises
    ------
    Cancelled, StepFailed, ImageError, TargetError

    >>> import convscope as cs
    >>> net = cs.load("efficientnet-lite0")
    >>> result = pgd(net, net.read("chelsea"), target="ostrich", epsilon=2/255, steps=20)
    >>> result.success, result.after[0][0].label
    (True, 'ostrich')
    """
    return stepped(
        network, image, method="pgd", reach=REACH, target=target, epsilon=epsilon, norm=norm, steps=steps,
        step=step, label=label, seed=seed, batch=batch, progress=progress,
    )  # fmt: skip
