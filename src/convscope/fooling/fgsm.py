"""FGSM: one step along the sign of the gradient (Goodfellow et al. 2015)."""

from convscope.fooling.adversarial import Adversarial
from convscope.fooling.attack import Given, Images, attack
from convscope.fooling.ball import Ball, Norm
from convscope.fooling.stepping import stepping
from convscope.fooling.wanted import Classes
from convscope.network.network import Network
from convscope.progress import Watcher


def fgsm(
    network: Network,
    image: Images,
    *,
    target: Classes | None = None,
    epsilon: float | None = None,
    norm: Norm = "linf",
    label: Classes | None = None,
    batch: int = 8,
    progress: Watcher | None = None,
) -> Adversarial:
    """Adversarial images by the fast gradient sign method.

        x + ε · sign ∇J(x, label),   or towards a target  x − ε · sign ∇J(x, target)

    J is the cross-entropy. By "l2" the step is ε · ∇J / ‖∇J‖.

    Parameters
    ----------
    image
        `(C, H, W)` or `(N, C, H, W)` in [0, 1], or several images of one size.
    target
        The class that each is to become: a label, `class:N` or an index, one for all or one for each. Without it, any
        other than it is.
    epsilon
        How far a file's values may go, in units of [0, 1]; by default 2/255, and by "l2" a length that changes
        values by half a level of 255 in the mean.
    norm
        "linf": each value by itself; "l2": the length of the whole change.
    label
        The class that each is led away from; by default the one that the network answers.
    batch
        Images that go through the network together.
    progress
        Called after each batch; returning False stops.

    Raises
    ------
    Cancelled, StepFailed, ImageError, TargetError

    >>> import convscope as cs
    >>> net = cs.load("efficientnet-lite0")
    >>> result = fgsm(net, net.read("chelsea"), epsilon=2/255)
    >>> result.success, bool(result.norms.linf <= 2/255 + 1e-6)
    (True, True)
    """
    given = Given.checked(network, image, target, label)
    ball = Ball.checked(norm, epsilon, given.images)
    return attack(
        network, given, stepping(ball, ball.epsilon, 1, anywhere=False), method="fgsm",
        parameters={"epsilon": ball.epsilon, "norm": norm},
        ball=ball, label=label, steps=1, batch=batch, progress=progress,
    )  # fmt: skip
