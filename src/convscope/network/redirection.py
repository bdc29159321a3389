"""Redirected rectifiers: a gradient for images whose units are all switched off.

Where every unit of a rectifier is below 0 (or above a ceiling) for an image, nothing comes back through it and ascent
never starts: networks with ReLU6 answer a grey or noisy start with a grey picture. For such an image, and at that
rectifier only, the gradient passes wherever following it would bring the unit back into the range:

    z ≤ low and g > 0,  or  z ≥ high and g < 0

with z the rectifier's input and g the gradient that arrives (after Lucid's redirected ReLU, Olah et al. 2017). g is of
something to be maximized.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from convscope.network.ops import operation_of, writes_in_place


class _Redirected(torch.autograd.Function):
    """A rectifier between `low` and `high`, out of place."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, low: float, high: float) -> Tensor:
        ctx.bounds = low, high
        ctx.save_for_backward(z)
        return z.clamp(low, high)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (gradient,), (z,), (low, high) = gradients, ctx.saved_tensors, ctx.bounds
        passed = torch.where((z > low) & (z < high), gradient, 0)
        dead = ~passed.flatten(1).any(dim=1)
        if dead.any():
            returning = ((z <= low) & (gradient > 0)) | ((z >= high) & (gradient < 0))
            passed = torch.where(dead.reshape(-1, *[1] * (z.dim() - 1)) & returning, gradient, passed)
        return passed, None, None


class _Redirection(TorchFunctionMode):
    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        operation = operation_of(function)
        if operation is None or not operation.activation or "out" in kwargs:
            return function(*args, **kwargs)
        call = operation.bind(args, kwargs)
        bounds = operation.bounds(call)
        if not bounds or writes_in_place(function, call, kwargs) or call["input"].dim() < 2:
            return function(*args, **kwargs)
        return _Redirected.apply(call["input"], *bounds)  # type: ignore[no-untyped-call]


@contextmanager
def redirected() -> Iterator[None]:
    """Run what is inside with redirected rectifiers, as far as this thread calls them and not in place."""
    with _Redirection():
        yield
