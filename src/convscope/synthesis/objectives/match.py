"""Being the same to a layer: inversion's objective, and style transfer's for content."""

from collections.abc import Mapping

from torch import Tensor

from convscope.synthesis.objectives.objective import Objective, Seen


def match(codes: Mapping[str, Tensor]) -> Objective:
    """−Σ ‖a − a₀‖² / ‖a₀‖² over layers, with a₀ their codes `(C, …)` or `(N, C, …)` (Mahendran and Vedaldi 2015)."""

    def value(seen: Seen) -> Tensor:
        return -sum((relative_error(seen.layer(layer), code) for layer, code in codes.items()), start=_zero(seen))

    return Objective(f"likeness at {', '.join(codes)}", value, tuple(codes))


def relative_error(activations: Tensor, code: Tensor) -> Tensor:
    """‖a − a₀‖² / ‖a₀‖² of each image, `(N,)`."""
    code = code.to(activations).expand_as(activations)
    difference = (activations - code).flatten(1).square().sum(dim=1)
    return difference / code.flatten(1).square().sum(dim=1).clamp(min=1e-12)


def _zero(seen: Seen) -> Tensor:
    return seen.images.new_zeros(len(seen.images))
