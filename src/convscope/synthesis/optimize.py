"""The loop of every method here: an image climbs towards an objective, step by step.

    p ← optimizer(p, ∂/∂p [f(T(x(p))) − Σ penalties(x(p))]),  then adjustments of x

with x the parameterization, T random transforms and f the objective of what the network answers.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from convscope.errors import StepFailed, TargetError
from convscope.network.answers import Answers
from convscope.network.differentiable import Differentiable
from convscope.network.memory import check_memory
from convscope.network.network import Network
from convscope.network.normalization import Normalization
from convscope.progress import Steps
from convscope.synthesis.failing import out_of_memory
from convscope.synthesis.objectives import Objective, Seen
from convscope.synthesis.parameterizations import Bounded
from convscope.synthesis.parameterizations.natural import Shape
from convscope.synthesis.regularizers.regularizer import Adjustment, Penalty
from convscope.synthesis.settings import Settings
from convscope.synthesis.transforms import transformed

# For so many steps a gradient that rectifiers block as a whole is redirected.
_REDIRECTED = 16


@dataclass(frozen=True)
class Climbed:
    """Where a climb ended: images `(N, C, H, W)` in [0, 1], and the objective `(steps, N)` as each step saw it last."""

    images: Tensor
    values: Tensor


def optimize(
    network: Network,
    objective: Objective,
    parameters: Tensor,
    shape: Shape,
    settings: Settings,
    *,
    draws: Sequence[Generator],
    steps: Steps,
) -> Climbed:
    """Climb from `parameters` `(N, …)`, which are changed in place; `draws` are random numbers for each image.

    `steps` is told of each step, with the images as they are as the preview.

    Raises
    ------
    StepFailed
        A step gave something that is no number, or ran out of memory; `so_far` holds the last images that were good.
    Cancelled
        With the same.
    NetworkError
        It would need more memory than there is.
    """
    climb = _Climb(network, objective, parameters, shape, settings, draws)
    with torch.inference_mode(False):
        return climb.run(steps)


class _Climb:
    """One batch of images on its way."""

    def __init__(
        self,
        network: Network,
        objective: Objective,
        parameters: Tensor,
        shape: Shape,
        settings: Settings,
        draws: Sequence[Generator],
    ) -> None:
        self.network, self.objective, self.settings, self.draws = network, objective, settings, draws
        self.parameters, self.shape = parameters.detach().requires_grad_(), shape
        self.view = settings.view(network, shape)
        self.neutral = neutral(network).to(parameters)
        self.networks: dict[tuple[int, ...], Differentiable] = {}
        self.step = 0
        self.values: list[Tensor] = []
        self.good = self.gradient = self.value = parameters.new_empty(0)
        if objective.asks:
            needed = () if objective.whole else objective.layers
            check_memory(network, self.view, len(parameters), layers=needed)

    def run(self, steps: Steps) -> Climbed:
        climb = self.settings.optimizer.over(self.parameters)
        for step in range(self.settings.steps):
            self.step = step
            with self._watched():
                climb.step(self._evaluate, self.settings.schedule(self.step / self.settings.steps))
                with torch.no_grad():
                    self._settle()
            self.values.append(self.value)
            steps.done(preview=self.good)
        with torch.no_grad():
            images = self.settings.parameterization.images(self.parameters, self.shape).clamp(0, 1)
        return Climbed(images, torch.stack(self.values))

    @contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            yield
        except (RuntimeError, MemoryError) as error:
            reason = out_of_memory(error)
            if reason is None:
                raise
            raise self._failed(f"memory ran out ({reason}); take fewer images at once or a smaller size") from error

    def _failed(self, what: str) -> StepFailed:
        kept = self.good if self.good.numel() else None
        return StepFailed(f"step {self.step + 1} of {self.settings.steps}: {what}", so_far=kept)

    def _evaluate(self) -> tuple[Tensor, Tensor]:
        """The objective less the penalties at the parameters as they are, `(N,)`, and its gradient."""
        with torch.enable_grad():
            images = self.settings.parameterization.images(self.parameters, self.shape)
            leaf = images.detach().requires_grad_()
            value, total, gradient = self._climbed(leaf)
            if self.step < _REDIRECTED and not _alive(gradient):
                value, total, gradient = self._climbed(leaf, redirect=True)
            # A sum is a number only if all that is summed are.
            if not (total.sum() + gradient.sum()).isfinite():
                raise self._failed(
                    "the objective or its gradient is no number any more; take a smaller rate of the optimizer, "
                    "or stronger regularizers"
                )
            (own,) = torch.autograd.grad(images, self.parameters, gradient)
        self.value, self.good, self.gradient = value, leaf.detach(), gradient
        return total, own

    def _climbed(self, images: Tensor, *, redirect: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """The objective of images, it less the penalties, and the gradient of that with respect to them."""
        total = -self._penalties(images)
        mean = images.new_zeros(len(images))
        for _ in range(self.settings.views):
            seen = transformed(images, self.settings.transforms, self.draws, self.view[1:])
            value = self.objective.value(Seen(seen, self._answers(seen, redirect))) / self.settings.views
            if value.shape != (len(images),):
                raise TargetError(f"an objective gave shape {tuple(value.shape)}, expected one number an image, (N,)")
            if not value.requires_grad:
                raise TargetError(f"the objective {self.objective.text!r} doesn't depend on the image")
            total, mean = total + value, mean + value.detach()
        (gradient,) = torch.autograd.grad(total.sum(), images)
        return mean, total.detach(), gradient

    def _answers(self, seen: Tensor, redirect: bool) -> Answers:
        """What the network answers, if it is asked."""
        if not self.objective.asks:
            return Answers(None, {}, self.network.reader, len(seen))
        return self._network_for(tuple(seen.shape[1:]))(seen, redirect=redirect)

    def _network_for(self, shape: tuple[int, ...]) -> Differentiable:
        if shape not in self.networks:
            channels, rows, columns = shape
            self.networks[shape] = Differentiable(
                self.network, (channels, rows, columns), layers=self.objective.layers, whole=self.objective.whole
            )
        return self.networks[shape]

    def _penalties(self, images: Tensor) -> Tensor:
        total = images.new_zeros(len(images))
        for each in self.settings.regularizers:
            if isinstance(each, Penalty):
                total = total + each.penalty(images - self.neutral)
            elif not isinstance(each, Adjustment):
                total = total + each(images)
        return total

    def _settle(self) -> None:
        """What is done to the image itself after a step."""
        form = self.settings.parameterization
        if isinstance(form, Bounded):
            form.settle(self.parameters)
        due = [each for each in self.settings.regularizers if isinstance(each, Adjustment)]
        due = [each for each in due if (self.step + 1) % each.every == 0]
        if not due:
            return
        deviation = form.images(self.parameters, self.shape) - self.neutral
        for each in due:
            deviation = each.adjust(deviation, self.gradient)
        self.parameters.copy_(form.start((deviation + self.neutral).clamp(0, 1)))


def neutral(network: Network) -> Tensor:
    """The network's mean image, which its normalization makes 0, as `(C, 1, 1)` in [0, 1]; mid-grey where unknown.

    >>> import convscope as cs
    >>> neutral(cs.load("efficientnet-lite0")).flatten()
    tensor([0.4980, 0.4980, 0.4980])
    """
    grey = torch.full((network.channels, 1, 1), 0.5)
    if not isinstance(network.normalize, Normalization) or network.normalize.mean is None:
        return grey
    low, high = network.normalize.value_range
    mean = (torch.tensor(network.normalize.mean) - low) / (high - low)
    mean = mean.flip(0) if network.normalize.channel_order == "BGR" else mean
    return mean.clamp(0, 1).reshape(-1, 1, 1).expand_as(grey)


def _alive(gradient: Tensor) -> bool:
    """Whether there is some gradient for each image."""
    return bool(gradient.flatten(1).any(dim=1).all())
