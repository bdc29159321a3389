"""Drill-down: occlusion at few places first, and at all of them only where it matters. An approximation."""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from convscope.attribution.canvas import as_parameter
from convscope.attribution.occluded import Asked, Measured, measure, way_for
from convscope.attribution.occluder import Cover, FillLike, Windows
from convscope.attribution.occlusion import Occlusion
from convscope.errors import ImageError
from convscope.image.check import check_image
from convscope.network.engine import EngineName
from convscope.network.network import Network
from convscope.network.target import TargetLike
from convscope.progress import Steps, Watcher

# Places that are measured only to see how wrong the interpolation is.
_SPOT_CHECKS = 24


@dataclass(frozen=True, kw_only=True)
class DrillDown(Occlusion):
    """An occlusion map of which only the part `measured` `(rows, columns)` was measured, the rest interpolated.

    `error` is the root of the mean squared error of the interpolated scores and `largest_error` the largest, both as
    found at places drawn by chance; 0 where nothing was left to interpolate.
    """

    measured: Tensor
    error: float
    largest_error: float


def drill_down(
    network: Network,
    image: Tensor,
    target: TargetLike,
    *,
    window: int | tuple[int, int] = 32,
    stride: int | tuple[int, int] = 4,
    coarse: int = 4,
    refine: float = 0.2,
    fill: FillLike = "gray",
    engine: EngineName = "auto",
    batch: int | None = None,
    seed: int = 0,
    progress: Watcher | None = None,
) -> DrillDown:
    """Occlusion (see `occlusion`) measured coarsely everywhere and finely where the score changes most.

    Of the places at `stride`, every `coarse`-th of every `coarse`-th row is measured; then the part `refine` of all
    places where the change between them is largest in magnitude. The others are interpolated linearly. That takes about
    1/coarse² + refine of the work. How wrong it is, is measured too, at places drawn by chance: `error`.

    Raises
    ------
    ImageError
        `coarse` is below 2 or `refine` not in 0 … 1, or as `occlusion`.
    TargetError, Cancelled

    >>> import convscope as cs
    >>> net = cs.load("efficientnet-lite0")
    >>> result = drill_down(net, torch.zeros(3, 224, 224), 207, window=96, stride=32)
    >>> result.scores.shape, result.error < 1
    (torch.Size([5, 5]), True)
    """
    check_image(image, channels=network.channels)
    if image.dim() != 3:
        raise ImageError(f"got a batch of shape {tuple(image.shape)}; drill down into one image at a time")
    if coarse < 2 or not 0 <= refine <= 1:
        raise ImageError(f"got coarse={coarse}, refine={refine}; expected at least 2, and a part of the places, 0 … 1")
    asked = network.target(target, image)
    windows = Windows.over(image, window, stride)
    rows, columns = (_every(coarse, count) for count in windows.shape)
    first = torch.zeros(windows.shape, dtype=torch.bool)
    first[rows[:, None], columns] = True
    fine = min(round(refine * len(windows)), int((~first).sum()))
    steps = Steps(min(len(windows), int(first.sum()) + fine + _SPOT_CHECKS), progress)
    with torch.no_grad():
        cover = Cover(network, image, fill)
        way = way_for(network, Asked.by([asked]), windows, cover, engine=engine, batch=batch)
        (found,) = measure(network, [asked], way, windows, steps, chosen=first)
        guess = _interpolated(found, rows, columns)
        change = (guess.scores - found.baseline).abs().masked_fill(first, -1.0)
        second = _mask(change.flatten().topk(fine).indices, windows.shape)
        checks = _drawn(~first & ~second, seed)
        (later,) = measure(network, [asked], way, windows, steps, chosen=second | checks)
    measured = first | second | checks
    merged = _chosen(later, _chosen(found, guess, first), second | checks)
    wrong = (later.scores - guess.scores)[checks].abs()
    error, largest = (float(wrong.square().mean().sqrt()), float(wrong.max())) if len(wrong) else (0.0, 0.0)
    options = {"window": window, "stride": stride, "coarse": coarse, "refine": refine}
    parameters = {name: list(value) if isinstance(value, tuple) else value for name, value in options.items()}
    recipe = network.recipe(
        "drill_down",
        {"target": asked.text, **parameters, "fill": as_parameter(fill), "engine": way.engine},
        images=[image, *([fill] if isinstance(fill, Tensor) and fill.dim() > 1 else []), *asked.masks],
        batch=batch, seed=seed, engine=way.description,
    )  # fmt: skip
    note = (
        f"approximate: {float(measured.float().mean()):.0%} of {len(windows)} places measured, the rest interpolated; "
        f"typical error {error:.2g} {asked.unit}, largest seen {largest:.2g}"
    )
    again = partial(drill_down, target=asked, **options, fill=fill, engine="torch", batch=batch, seed=seed)  # type: ignore[arg-type]
    values = windows.averaged(merged.baseline - merged.scores)
    return DrillDown(
        values, image, asked.text, recipe, asked.unit, again, note, asked=asked,
        scores=merged.scores, probabilities=merged.probabilities, baseline=merged.baseline,
        baseline_probability=merged.baseline_probability, windows=windows, method=way.method,
        measured=measured, error=error, largest_error=largest,
    )  # fmt: skip


def _every(step: int, count: int) -> Tensor:
    """Every so many of `count` places, and the last."""
    return torch.tensor(sorted({*range(0, count, step), count - 1}))


def _mask(indices: Tensor, shape: tuple[int, int]) -> Tensor:
    mask = torch.zeros(shape[0] * shape[1], dtype=torch.bool)
    mask[indices] = True
    return mask.reshape(shape)


def _drawn(among: Tensor, seed: int) -> Tensor:
    """A few places by chance."""
    places = among.flatten().nonzero()[:, 0]
    order = torch.randperm(len(places), generator=torch.Generator().manual_seed(seed))
    return _mask(places[order[:_SPOT_CHECKS]], (among.shape[0], among.shape[1]))


def _chosen(one: Measured, other: Measured, where: Tensor) -> Measured:
    """The scores and probabilities of `one` where it says so, elsewhere those of `other`."""
    likely = None
    if one.probabilities is not None and other.probabilities is not None:
        likely = torch.where(where, one.probabilities, other.probabilities)
    return replace(other, scores=torch.where(where, one.scores, other.scores), probabilities=likely)


def _interpolated(found: Measured, rows: Tensor, columns: Tensor) -> Measured:
    """Linear between the measured rows and columns, in both directions."""
    likely = None if found.probabilities is None else _bilinear(found.probabilities, rows, columns)
    return replace(found, scores=_bilinear(found.scores, rows, columns), probabilities=likely)


def _bilinear(values: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    known = values[rows[:, None], columns]
    down, across = _weights(rows, len(values)).to(values), _weights(columns, values.shape[1]).to(values)
    return down @ known @ across.T


def _weights(places: Tensor, count: int) -> Tensor:
    """How much each of `count` places takes of each known one, `(count, known)`."""
    known = places.numpy()
    return torch.from_numpy(np.stack([np.interp(np.arange(count), known, one) for one in np.eye(len(known))], axis=1))
