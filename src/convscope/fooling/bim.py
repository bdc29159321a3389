"""BIM: small steps along the sign of the gradient, kept in the ball (Kurakin et al. 2016)."""

from convscope.fooling.adversarial import Adversarial
from convscope.fooling.attack import Given, Images, attack, check_counts, check_positive
from convscope.fooling.ball import Ball, Norm
from convscope.fooling.stepping import stepping
from convscope.fooling.wanted import Classes
from convscope.network.network import Network
from convscope.progress import Watcher

_SHARE = 0.2
"""Of epsilon: a step, by default."""


def bim(
    network: Network,
    image: Images,
    *,
    target: Classes | None = None,
    epsilon: float | None = None,
    norm: Norm = "linf",
    steps: int = 10,
    step: float | None = None,
    label: Classes | None = None,
    batch: int = 8,
    progress: Watcher | None = None,
) -> Adversarial:
    """Adversarial images by the basic iterative method: FGSM in small steps.

        x ← clip(x + α · sign ∇J(x, label)),   or towards a target  x ← clip(x − α · sign ∇J(x, target))

    clip brings x back into the ball of ε around the image and into [0, 1].

    Parameters
    ----------
    image, target, epsilon, norm, label, batch
        As for `fgsm`.
    steps
        How many.
    step
        α; by default a fifth of epsilon.
    progress
        Called after each step with the images as they are; returning False stops.

    Raises
    ------
    Cancelled, StepFailed, ImageError, TargetError

    >>> import convscope as cs
    >>> net = cs.load("efficientnet-lite0")
    >>> bim(net, net.read("chelsea"), target="ostrich", steps=2).image.shape
    torch.Size([3, 224, 224])
    """
    return stepped(
        network, image, method="bim", reach=_SHARE * steps, target=target, epsilon=epsilon, norm=norm, steps=steps,
        step=step, label=label, seed=None, batch=batch, progress=progress,
    )  # fmt: skip


def stepped(
    network: Network,
    image: Images,
    *,
    method: str,
    reach: float,
    target: Classes | None,
    epsilon: float | None,
    norm: Norm,
    steps: int,
    step: float | None,
    label: Classes | None,
    seed: int | None,
    batch: int,
    progress: Watcher | None,
) -> Adversarial:
    """BIM, and with a `seed` PGD, whose starts it draws; without a `step` all together are of `reach` epsilons."""
    given = Given.checked(network, image, target, label)
    ball = Ball.checked(norm, epsilon, given.images)
    check_counts(steps=steps)
    check_positive(**({} if step is None else {"step": step}))
    alpha = reach * ball.epsilon / steps if step is None else step
    return attack(
        network, given, stepping(ball, alpha, steps, anywhere=seed is not None), method=method,
        parameters={"epsilon": ball.epsilon, "norm": norm, "steps": steps, "step": step},
        ball=ball, label=label, steps=steps, batch=batch, seed=seed, progress=progress,
    )  # fmt: skip
