"""Integrated gradients: the difference to a baseline, shared out among the pixels (Sundararajan, Taly and Yan 2017)."""

from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from convscope.attribution.attribution import Attribution
from convscope.attribution.canvas import as_parameter, canvas
from convscope.attribution.gradients import checked_batch, weighted_gradients
from convscope.errors import ImageError
from convscope.image.recipe import JSON
from convscope.network.network import Network
from convscope.network.target import TargetLike
from convscope.progress import Steps, Watcher

Baseline = Literal["black", "gray", "mean"]
BaselineLike = Baseline | float | Tensor
_COMPLETE = 1e-3
# By what part values may be changed without a word beside the map.
_NOTICEABLE = 0.01


@dataclass(frozen=True, kw_only=True)
class IntegratedGradients(Attribution):
    """A target's difference to its value for a baseline, shared out among the pixels.

    `values` has the image's shape; they add up to `difference`, the target's value for the image less that for the
    baseline, a number without dimensions, or `(N,)` for a batch. `missed` is by what part of it the integral's sum
    missed it, and `closed` by what part each value was changed to make up for that: 0 where nothing had to be.
    """

    difference: Tensor
    missed: Tensor
    closed: Tensor

    @property
    def incompleteness(self) -> Tensor:
        """By what part of `difference` the values' sum misses it."""
        return _missed(self.values, self.difference)


def integrated_gradients(
    network: Network,
    image: Tensor,
    target: TargetLike,
    *,
    baseline: BaselineLike = "black",
    steps: int = 50,
    complete: bool = True,
    batch: int | None = None,
    progress: Watcher | None = None,
) -> IntegratedGradients:
    """Follow the target from a baseline to the image and give each pixel its part of the way.

        (x − x') · ∫₀¹ ∂y/∂x (x' + a·(x − x')) da

    with x the image, x' the baseline and y the target; the integral by Gauss and Legendre's rule. The values add up
    to y(x) − y(x'). Rectifiers make the gradient jump on the way, which no rule follows well: where the sum misses by
    more than one in a thousand, the rest r is shared out as r · |value| / Σ |values|, which changes each value by the
    same small part of it. `.missed` and `.closed` say how much that was, `.note` where it is more than a hundredth.

    Parameters
    ----------
    image, target
        As for `saliency`.
    baseline
        What the image is compared with: "black", "gray" (0.5), "mean" (the image's own mean colour), a number, or an
        image `(C, H, W)`, or a batch like `image`. Where a pixel equals it, its value is 0: black shows nothing of
        what is black.
    steps
        Places on the way where the gradient is taken.
    complete
        Whether to share out what the sum misses.
    batch
        Of these, how many go through the network together; by default as many as half a GiB of memory allows.
    progress
        Called after each batch; returning False stops.

    Raises
    ------
    Cancelled, ImageError, TargetError

    >>> import torch, convscope as cs
    >>> net = cs.load("efficientnet-lite0")
    >>> result = integrated_gradients(net, torch.rand(3, 224, 224), "golden retriever", steps=4)
    >>> result.values.shape, result.difference.shape
    (torch.Size([3, 224, 224]), torch.Size([]))
    """
    if steps < 1:
        raise ImageError(f"got steps={steps}; expected at least 1")
    asked = network.target(target, image)
    chosen = checked_batch(batch, network, image)
    start = canvas(baseline, image, names=get_args(Baseline), what="baseline")
    images, starts = (each if image.dim() == 4 else each[None] for each in (image, start))
    counted = Steps(len(images) * steps, progress)
    places, weights = gauss_legendre(steps)

    def integrated(one: Tensor, origin: Tensor) -> Tensor:
        way = one - origin
        mean = weighted_gradients(
            network,
            lambda index: origin + places[index].to(one) * way,
            weights,
            asked,
            batch=chosen,
            steps=counted,
        )
        return way * mean

    found = torch.stack([integrated(*both) for both in zip(images, starts, strict=True)]).to(image)
    values = found if image.dim() == 4 else found[0]
    difference = network.score(image, asked) - network.score(start, asked)
    missed = _missed(values, difference)
    closed = _closing(values, difference).where(missed > _COMPLETE, 0.0)
    if complete:
        values = values + closed[..., None, None, None].to(values) * values.abs()
    given = as_parameter(baseline)
    inputs = [image, *([baseline] if isinstance(baseline, Tensor) and given == "image" else []), *asked.masks]
    parameters: dict[str, JSON] = {"target": asked.text, "baseline": given, "steps": steps, "complete": complete}
    recipe = network.recipe("integrated_gradients", parameters, images=inputs, batch=chosen)
    again = partial(integrated_gradients, target=asked, baseline=baseline, steps=steps, complete=complete, batch=batch)
    return IntegratedGradients(
        values, image, asked.text, recipe, asked.unit, again, _note(missed, closed, complete=complete),
        asked=asked, difference=difference, missed=missed, closed=closed if complete else torch.zeros_like(closed),
    )  # fmt: skip


def _missed(values: Tensor, difference: Tensor) -> Tensor:
    total = values.double().sum(dim=(-3, -2, -1))
    return ((total - difference.double()) / difference.double()).abs().nan_to_num(nan=0.0)


def _closing(values: Tensor, difference: Tensor) -> Tensor:
    """What part of its magnitude each value lacks, if all lack alike."""
    total, magnitude = (each.sum(dim=(-3, -2, -1)) for each in (values.double(), values.double().abs()))
    return ((difference.double() - total) / magnitude).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)


def _note(missed: Tensor, closed: Tensor, *, complete: bool) -> str:
    most, change = float(missed.max()), float(closed.abs().max())
    if most <= _COMPLETE or (complete and change < _NOTICEABLE):
        return ""
    said = f"the integral's sum misses the difference to the baseline by {most:.1%} of it; more steps bring it nearer"
    return f"{said}; made up for by changing each value by {change:.1%}" if complete else said


def gauss_legendre(count: int) -> tuple[Tensor, Tensor]:
    """Places in (0, 1) and their weights, of sum 1, in double precision: exact for polynomials below 2·count.

    >>> places, weights = gauss_legendre(2)
    >>> round(float((weights * places**3).sum()), 12)
    0.25
    """
    places, weights = np.polynomial.legendre.leggauss(count)
    return torch.from_numpy((places + 1) / 2), torch.from_numpy(weights / 2)
