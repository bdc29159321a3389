"""The ball around an image that an attack may not leave, and the box [0, 1] of pixels."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from convscope.errors import ImageError, nearest

Norm = Literal["linf", "l2"]

# Of every value in the mean: about what can just not be seen.
_USUAL = {"linf": 2 / 255, "l2": 0.5 / 255}


@dataclass(frozen=True)
class Ball:
    """All images at most `epsilon` from a start by a norm: each value by itself ("linf"), or all together ("l2")."""

    norm: Norm
    epsilon: float

    @classmethod
    def checked(cls, norm: Norm, epsilon: float | None, images: Tensor) -> "Ball":
        """With an epsilon that suits the images where none is given. Raises ImageError for what is no ball."""
        if norm not in get_args(Norm):
            raise ImageError(f"no norm {norm!r}; {nearest(str(norm), get_args(Norm))}")
        if epsilon is None:
            return cls(norm, _USUAL[norm] * (1 if norm == "linf" else math.sqrt(images[0].numel())))
        if not 0 <= epsilon < math.inf:
            raise ImageError(f"got epsilon={epsilon}, expected 0 or more, in units of pixels in [0, 1]: 2/255, say")
        return cls(norm, float(epsilon))

    def steepest(self, gradient: Tensor) -> Tensor:
        """The step of length 1 by this norm along which a gradient `(N, …)` promises most."""
        if self.norm == "linf":
            return gradient.sign()
        return gradient / lengths(gradient).clamp(min=torch.finfo(gradient.dtype).tiny).reshape(-1, 1, 1, 1)

    def projected(self, images: Tensor, starts: Tensor) -> Tensor:
        """The images brought back into the ball around their starts, and into the box."""
        change = images - starts
        if self.norm == "linf":
            change = change.clamp(-self.epsilon, self.epsilon)
        else:
            far = lengths(change).clamp(min=torch.finfo(change.dtype).tiny)
            change = change * (self.epsilon / far).clamp(max=1).reshape(-1, 1, 1, 1)
        # The starts lie in the box, so this brings no value further from its start.
        return (starts + change).clamp(0, 1)

    def anywhere(self, starts: Tensor, draws: list[torch.Generator]) -> Tensor:
        """A place drawn evenly from the ball around each start, as far as it lies in the box."""
        return self.projected(starts + torch.stack([self._drawn(starts[0], each) for each in draws]), starts)

    def _drawn(self, like: Tensor, draw: torch.Generator) -> Tensor:
        if self.norm == "linf":
            change = torch.rand(like.shape, generator=draw, dtype=torch.float64) * 2 - 1
        else:
            change = torch.randn(like.shape, generator=draw, dtype=torch.float64)
            radius = float(torch.rand((), generator=draw, dtype=torch.float64)) ** (1 / like.numel())
            change *= radius / float(torch.linalg.vector_norm(change))
        return (self.epsilon * change).to(like)


def lengths(changes: Tensor) -> Tensor:
    """L2 norms of `(N, …)`, `(N,)`."""
    found: Tensor = torch.linalg.vector_norm(changes.flatten(1), dim=1)
    return found
