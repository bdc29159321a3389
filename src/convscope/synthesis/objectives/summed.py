"""Statistics of features that are never there all at once: sums over places, from which the statistics follow.

Sums of pieces add up to those of the whole. Means and spreads are summed as deviations from a fixed `shift` `(C,)`,
which changes neither in the end, but keeps the digits that differences of large squares would lose.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from convscope.synthesis.objectives.statistics import Described, deviation


@dataclass(frozen=True)
class Summed:
    """How a statistic is summed: `sums` of features `(C, h, w)`, their weights `(h, w)` and the shift.

    `described` makes of the sums over all places, divided by the sum of all weights, what the statistic describes.
    """

    sums: Callable[[Tensor, Tensor | None, Tensor], tuple[Tensor, ...]]
    described: Callable[[tuple[Tensor, ...], Tensor], Described]


def _products(features: Tensor, weights: Tensor | None, shift: Tensor) -> tuple[Tensor, ...]:
    """Σ w f fᵀ."""
    flat = features.flatten(1)
    return (_weighted(flat, weights) @ flat.mT,)


def _gram(means: tuple[Tensor, ...], shift: Tensor) -> Described:
    return (means[0][None],)


def _squares(features: Tensor, weights: Tensor | None, shift: Tensor) -> tuple[Tensor, ...]:
    """Σ w (f − c) and Σ w (f − c)²."""
    flat = features.flatten(1) - shift[:, None]
    return _weighted(flat, weights).sum(dim=1), _weighted(flat.square(), weights).sum(dim=1)


def _moments(means: tuple[Tensor, ...], shift: Tensor) -> Described:
    mean, square = means
    return (shift + mean)[None], deviation((square - mean.square()).clamp(min=0))[None]


def _shifted_products(features: Tensor, weights: Tensor | None, shift: Tensor) -> tuple[Tensor, ...]:
    """Σ w (f − c) and Σ w (f − c) (f − c)ᵀ."""
    flat = features.flatten(1) - shift[:, None]
    weighted = _weighted(flat, weights)
    return weighted.sum(dim=1), weighted @ flat.mT


def _gaussian(means: tuple[Tensor, ...], shift: Tensor) -> Described:
    mean, product = means
    return (shift + mean)[None], (product - mean[:, None] * mean)[None]


def _weighted(flat: Tensor, weights: Tensor | None) -> Tensor:
    return flat if weights is None else flat * weights.flatten()


SUMMED: dict[str, Summed] = {
    "gram": Summed(_products, _gram),
    "moments": Summed(_squares, _moments),
    "covariance": Summed(_shifted_products, _gaussian),
    "wasserstein": Summed(_shifted_products, _gaussian),
}
"""By the names of `STATISTICS`."""
