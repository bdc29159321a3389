"""L-BFGS, uphill (Liu and Nocedal 1989)."""

from collections import deque
from dataclasses import dataclass

import torch
from torch import Tensor

from convscope.synthesis.optimizers.optimizer import Climb, Evaluate
from convscope.synthesis.parts import LARGEST, check

# The share of what the slope promises that a step must bring (Armijo 1966), and how often it is shortened for that.
_SUFFICIENT = 1e-4
_SHORTENED, _TRIES = 0.3, 8
# Changes of place and of gradient whose cosine is smaller tell of rounding, not of curvature.
_LEAST_COSINE = 1e-6
# What the first step changes most, before anything is known of the curvature.
_FIRST = 0.1
# What any step along the gradient alone changes most.
_LONGEST = 10.0


@dataclass(frozen=True)
class LBFGS:
    """Quasi-Newton steps p ← p + rate · H g, with H made of the last `history` changes of p and of its gradient g.

    A step that doesn't bring what its slope promised is shortened until it does, so the objective never falls. The
    images of a batch have steps and histories of their own. For objectives without random transforms.
    """

    rate: float = 1.0
    history: int = 20

    def __post_init__(self) -> None:
        check(self, rate=(0, LARGEST), history=(1, LARGEST))

    def over(self, parameters: Tensor) -> Climb:
        return _Climb(self, parameters)


@dataclass(frozen=True)
class _Point:
    """Parameters `(N, P)`, the objective there `(N,)`, and its gradient `(N, P)`."""

    parameters: Tensor
    value: Tensor
    gradient: Tensor


@dataclass(frozen=True)
class _Change:
    """Between two points: `place` and `gradient` `(N, P)`, the latter downhill, and `curvature` `(N,)`.

    Curvature is the inner product of both, and 0 where it is not positive: such a change says nothing.
    """

    place: Tensor
    gradient: Tensor
    curvature: Tensor

    @classmethod
    def between(cls, one: _Point, other: _Point) -> "_Change":
        place, gradient = other.parameters - one.parameters, one.gradient - other.gradient
        curvature = _dot(place, gradient)
        told = curvature > _LEAST_COSINE * place.norm(dim=1) * gradient.norm(dim=1)
        return cls(place, gradient, curvature.where(told, 0))

    def share(self, numbers: Tensor) -> Tensor:
        """Numbers `(N,)` over the curvature, 0 where that is."""
        return numbers / self.curvature.where(self.curvature > 0, torch.inf)


class _Climb:
    def __init__(self, lbfgs: LBFGS, parameters: Tensor) -> None:
        self._lbfgs, self._parameters = lbfgs, parameters
        self._changes: deque[_Change] = deque(maxlen=lbfgs.history)
        self._before: _Point | None = None
        self._last: _Point | None = None
        # How far the last step led, before anything else changed the parameters.
        self._went = parameters.new_zeros(len(parameters))

    def step(self, evaluate: Evaluate, factor: float) -> None:
        here = self._here(evaluate)
        if self._before is not None:
            self._changes.append(_Change.between(self._before, here))
        self._before = here
        direction = self._direction(here.gradient)
        slope = _dot(direction, here.gradient)
        lengths = torch.full_like(slope, self._lbfgs.rate * factor)
        for _ in range(_TRIES):
            there = self._at(here.parameters + lengths[:, None] * direction, evaluate)
            short = there.value < here.value + _SUFFICIENT * lengths * slope
            if not short.any():
                self._went = lengths * direction.norm(dim=1)
                return
            lengths = torch.where(short, lengths * _SHORTENED, lengths)
        # Along it nothing rises any more: those images stay where they are.
        self._went = torch.where(short, 0, lengths * direction.norm(dim=1))
        self._move(torch.where(short[:, None], here.parameters, there.parameters))

    def _here(self, evaluate: Evaluate) -> _Point:
        """Where the last step led, which is known unless something changed it since."""
        now = self._parameters.detach().flatten(1)
        if self._last is not None and torch.equal(self._last.parameters, now):
            return self._last
        return self._at(now, evaluate)

    def _at(self, parameters: Tensor, evaluate: Evaluate) -> _Point:
        self._move(parameters)
        value, gradient = evaluate()
        self._last = _Point(parameters.clone(), value, gradient.flatten(1))
        return self._last

    def _move(self, parameters: Tensor) -> None:
        with torch.no_grad():
            self._parameters.copy_(parameters.reshape(self._parameters.shape))

    def _direction(self, gradient: Tensor) -> Tensor:
        """H g; along the gradient, where the last change tells of no curvature."""
        if not self._changes:
            return _shortened(gradient)
        # It became steeper on the way, or no less steep, as it does far from the top: go twice as far.
        longer = 2 * self._went / gradient.norm(dim=1).clamp(min=1e-30)
        longest = _LONGEST / gradient.abs().amax(dim=1).clamp(min=1e-30)
        bold = torch.minimum(longer, longest)[:, None] * gradient
        bold = torch.where((self._went > 0)[:, None], bold, _shortened(gradient))
        return torch.where((self._changes[-1].curvature > 0)[:, None], self._by_history(gradient), bold)

    def _by_history(self, gradient: Tensor) -> Tensor:
        """H g, by two loops over the changes."""
        direction, shares = gradient.clone(), []
        for change in reversed(self._changes):
            shares.append(change.share(_dot(change.place, direction)))
            direction -= shares[-1][:, None] * change.gradient
        direction *= self._scale()[:, None]
        for change, share in zip(self._changes, reversed(shares), strict=True):
            direction += (share - change.share(_dot(change.gradient, direction)))[:, None] * change.place
        return direction

    def _scale(self) -> Tensor:
        """How long a step for a gradient, by the last change that tells of it."""
        scale = torch.ones_like(self._changes[-1].curvature)
        for change in self._changes:
            told = change.curvature / _dot(change.gradient, change.gradient).clamp(min=1e-30)
            scale = torch.where(change.curvature > 0, told, scale)
        return scale


def _shortened(gradient: Tensor) -> Tensor:
    """Along the gradient, as far as it is wise where nothing is known."""
    greatest = gradient.abs().amax(dim=1, keepdim=True)
    return _FIRST * gradient / greatest.where(greatest > 0, 1)


def _dot(one: Tensor, other: Tensor) -> Tensor:
    """Inner products of `(N, P)`, `(N,)`."""
    return torch.einsum("np,np->n", one, other)
