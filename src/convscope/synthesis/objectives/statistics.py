"""Statistics that forget place: what is compared of a layer's features when style is.

Each makes of a style's features `(1, C, h, w)` a function from other features `(N, C, H, W)`, and how much each of
their places counts `(H, W)`, to how far their statistics are from the style's, `(N,)`: 0 where they are the same, and
about 1 for features of nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from convscope.synthesis.objectives.gram import gram

Distance = Callable[[Tensor, Tensor | None], Tensor]
Described = tuple[Tensor, ...]
"""Means, matrices, … of features, `(N, …)` each."""

# Of the greatest eigenvalue: smaller ones are rounding, and have no roots to speak of.
_LEAST = 1e-6


@dataclass(frozen=True)
class Statistic:
    """What is read off features with weights, and how far this is from a style's, `(N,)`."""

    described: Callable[[Tensor, Tensor | None], Described]
    compared: Callable[[Described], Callable[[Described], Tensor]]

    def __call__(self, style: Tensor) -> Distance:
        """How far features are from those of a style `(1, C, h, w)`."""
        distance = self.compared(self.described(style, None))
        return lambda features, weights: distance(self.described(features, weights))


def by_gram(style: Described) -> Callable[[Described], Tensor]:
    """‖G − G₀‖² / ‖G₀‖², G = Σ w f fᵀ / Σ w (Gatys, Ecker and Bethge 2016)."""
    (wanted,) = style
    scale = _scale(wanted)

    def distance(found: Described) -> Tensor:
        return (found[0] - wanted).square().sum(dim=(1, 2)) / scale

    return distance


def by_moments(style: Described) -> Callable[[Described], Tensor]:
    """(‖μ − μ₀‖² + ‖σ − σ₀‖²) / (‖μ₀‖² + ‖σ₀‖²), each channel by itself (Li et al. 2017; Huang and Belongie 2017)."""
    wanted = torch.stack(style)
    scale = _scale(wanted)

    def distance(found: Described) -> Tensor:
        return (torch.stack(found) - wanted).square().sum(dim=(0, 2)) / scale

    return distance


def by_covariance(style: Described) -> Callable[[Described], Tensor]:
    """‖Σ − Σ₀‖² / ‖G₀‖² + ‖μ − μ₀‖² / tr G₀: the Gram matrix in its two parts, each compared by itself."""
    wanted_mean, wanted = style
    whole = _gram_of(style)

    def distance(found: Described) -> Tensor:
        mean, covariance = found
        spread = (covariance - wanted).square().sum(dim=(1, 2)) / _scale(whole)
        return spread + (mean - wanted_mean).square().sum(dim=1) / _trace(whole).clamp(min=1e-12)

    return distance


def by_wasserstein(style: Described) -> Callable[[Described], Tensor]:
    """(‖μ − μ₀‖² + tr(Σ + Σ₀ − 2 (Σ₀^½ Σ Σ₀^½)^½)) / tr G₀.

    The numerator is the square of the Wasserstein-2 distance of the Gaussians with the features' means and
    covariances: how far, in squares, one lot of features must be moved to be the other (Dowson and Landau 1982).
    """
    wanted_mean, wanted = style
    root = matrix_root(wanted)
    total = _trace(_gram_of(style)).clamp(min=1e-12)

    def distance(found: Described) -> Tensor:
        mean, covariance = found
        common: Tensor = _TraceOfRoot.apply(root @ covariance @ root)  # type: ignore[no-untyped-call]
        spread = _trace(covariance) + _trace(wanted) - 2 * common
        return ((mean - wanted_mean).square().sum(dim=1) + spread) / total

    return distance


def weighted_gram(features: Tensor, weights: Tensor | None) -> Tensor:
    """Σ w f fᵀ / Σ w over places, `(N, C, C)` of `(N, C, H, W)`; all places alike without weights `(H, W)`.

    >>> half = torch.tensor([[1.0, 0.0]])
    >>> weighted_gram(torch.tensor([[[[2.0, 5.0]]]]), half)
    tensor([[[4.]]])
    """
    if weights is None:
        return gram(features)
    flat = features.flatten(2)
    return (flat * _shares(weights)) @ flat.mT


def gaussian(features: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The mean `(N, C)` and the covariance `(N, C, C)` of features `(N, C, H, W)` over places."""
    mean = _mean(features, weights)
    return mean, weighted_gram(features - mean[:, :, None, None], weights)


def moments(features: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The mean and the standard deviation of each channel, `(N, C)` each."""
    mean = _mean(features, weights)
    return mean, deviation(_mean((features - mean[:, :, None, None]).square(), weights))


def deviation(variance: Tensor) -> Tensor:
    """Its root; that of 0 has no slope."""
    return (variance + 1e-12).sqrt()


def matrix_root(matrices: Tensor) -> Tensor:
    """The positive square root of symmetric positive matrices `(…, C, C)`.

    >>> matrix_root(torch.diag(torch.tensor([4.0, 9.0])))
    tensor([[2., 0.],
            [0., 3.]])
    """
    values, vectors = _eigen(matrices)
    return ((vectors * values.clamp(min=0).sqrt()[..., None, :]) @ vectors.mT).to(matrices)


def _eigen(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues and vectors on the processor and in double precision: in single, LAPACK may fail to converge."""
    values, vectors = torch.linalg.eigh(matrices.detach().cpu().double())
    return values, vectors


class _TraceOfRoot(torch.autograd.Function):
    """tr M^½ of symmetric positive matrices `(N, C, C)`; its gradient is ½ M^(−½).

    By the formula, since differentiating eigenvectors fails where two eigenvalues are the same, as they are wherever
    there are fewer places than channels.
    """

    @staticmethod
    def forward(ctx: Any, matrices: Tensor) -> Tensor:
        values, vectors = _eigen(matrices)
        least = _LEAST * values.amax(dim=-1, keepdim=True)
        roots: Tensor = values.clamp(min=0).sqrt()
        inverse = torch.where(values > least, 1 / roots.clamp(min=1e-30), 0)
        ctx.save_for_backward(((vectors * inverse[..., None, :]) @ vectors.mT / 2).to(matrices))
        return roots.sum(dim=-1).to(matrices)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        slope: Tensor = ctx.saved_tensors[0]
        return gradients[0][:, None, None] * slope


def _mean(features: Tensor, weights: Tensor | None) -> Tensor:
    flat = features.flatten(2)
    return flat.mean(dim=2) if weights is None else flat @ _shares(weights)


def _shares(weights: Tensor) -> Tensor:
    """Of each place, `(H·W,)`; they add up to 1."""
    return weights.flatten() / weights.sum()


def _gram_of(gaussian: Described) -> Tensor:
    mean, covariance = gaussian
    return covariance + mean[:, :, None] * mean[:, None, :]


def _trace(matrices: Tensor) -> Tensor:
    return matrices.diagonal(dim1=-2, dim2=-1).sum(dim=-1)


def _scale(wanted: Tensor) -> Tensor:
    """What squares of differences from this are measured against."""
    return wanted.square().sum().clamp(min=1e-12)


STATISTICS: dict[str, Statistic] = {
    "gram": Statistic(lambda features, weights: (weighted_gram(features, weights),), by_gram),
    "moments": Statistic(moments, by_moments),
    "covariance": Statistic(gaussian, by_covariance),
    "wasserstein": Statistic(gaussian, by_wasserstein),
}
