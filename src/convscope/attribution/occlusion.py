"""Occlusion: how a target's score changes as a window covers one place after another (Zeiler and Fergus 2014)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, NamedTuple, cast, overload

import torch
from PIL import Image
from torch import Tensor

from convscope.attribution.attribution import Attribution, Reduction, Style
from convscope.attribution.canvas import as_parameter
from convscope.attribution.occluded import Asked, Measured, Method, measure, way_for
from convscope.attribution.occluder import Box, Cover, FillLike, Places, Windows
from convscope.errors import ImageError, TargetError
from convscope.image.check import check_image
from convscope.image.recipe import JSON, Recipe
from convscope.image.write import to_picture
from convscope.network.engine import EngineName
from convscope.network.network import Network
from convscope.network.target import Target, TargetLike
from convscope.progress import Steps, Watcher
from convscope.render.colours import Scale
from convscope.render.grid import grid
from convscope.render.heatmap import heatmap

OcclusionStyle = Style | Literal["probability"]


class Rise(NamedTuple):
    """A place whose occlusion helps the target: its box (top, left, bottom, right) and by how much the score rises."""

    box: Box
    gain: float


@dataclass(frozen=True, kw_only=True)
class Occlusion(Attribution):
    """What covering each place does to a target.

    `values` `(H, W)` is the fall of the score, averaged over the windows that cover a pixel: positive where the target
    needs what is there. `scores` and `probabilities` `(rows, columns)` are those with the window at each of its places
    (`windows`), `baseline` and `baseline_probability` those of the image as it is. Probabilities are None where the
    target is no single class. For a batch all have its `N` in front. `method` says how it was computed.
    """

    scores: Tensor
    probabilities: Tensor | None
    baseline: Tensor
    baseline_probability: Tensor | None
    windows: Windows
    method: Method

    def rises(self) -> list[Rise]:
        """The places of an image whose occlusion raises the score, the largest gain first."""
        if self.scores.dim() != 2:
            raise ImageError(
                "the rises of a batch; ask for those of one image: occlusion(network, batch[0], …).rises()"
            )
        gains = self.scores - self.baseline
        found = [
            Rise(self.windows.box(row, column), float(gains[row, column]))
            for row, column in (gains > 0).nonzero().tolist()
        ]
        return sorted(found, key=lambda rise: -rise.gain)

    def picture(
        self, *, style: OcclusionStyle = "heatmap", reduction: Reduction = "max", clip: float = 99.5
    ) -> Image.Image:
        """As of any attribution; "probability" is the lecture's map, the probability with the window at each place."""
        if style != "probability":
            return super().picture(style=style, reduction=reduction, clip=clip)
        if self.probabilities is None:
            raise ImageError(f"{self.target!r} is no single class and has no probability; choose another style")
        if self.probabilities.dim() == 3:
            return grid([self._one(index).picture(style=style) for index in range(len(self.probabilities))])
        rows, columns = (_nearest(places) for places in (self.windows.rows, self.windows.columns))
        placed = self.probabilities.float().cpu()[rows][:, columns]
        largest = max(float(placed.max()), float(cast("Tensor", self.baseline_probability)))
        drawn = heatmap(
            placed, scale=Scale(0.0, max(largest, 1e-6)), size=(len(rows), len(columns)),
            legend="probability",
        )  # fmt: skip
        return grid([to_picture(self.image), drawn], cell=len(columns))

    def _one(self, index: int) -> "Occlusion":
        return replace(
            self, values=self.values[index], image=self.image[index],
            scores=self.scores[index], baseline=self.baseline[index],
            probabilities=None if self.probabilities is None else self.probabilities[index],
            baseline_probability=None if self.baseline_probability is None else self.baseline_probability[index],
        )  # fmt: skip


def _nearest(places: Places) -> Tensor:
    """For each pixel along an axis, the window whose middle is nearest."""
    middles = (torch.tensor(places.starts) + torch.tensor(places.stops)) / 2
    return ((torch.arange(places.length) + 0.5)[:, None] - middles).abs().argmin(dim=1)


@overload
def occlusion(
    network: Network, image: Tensor, target: TargetLike, *, window: int | tuple[int, int] = ...,
    stride: int | tuple[int, int] = ..., fill: FillLike = ..., method: Method = ..., engine: EngineName = ...,
    batch: int | None = ..., progress: Watcher | None = ...,
) -> Occlusion: ...  # fmt: skip


@overload
def occlusion(
    network: Network, image: Tensor, target: list[TargetLike] | list[str], *, window: int | tuple[int, int] = ...,
    stride: int | tuple[int, int] = ..., fill: FillLike = ..., method: Method = ..., engine: EngineName = ...,
    batch: int | None = ..., progress: Watcher | None = ...,
) -> list[Occlusion]: ...  # fmt: skip


def occlusion(
    network: Network,
    image: Tensor,
    target: TargetLike | list[TargetLike] | list[str],
    *,
    window: int | tuple[int, int] = 32,
    stride: int | tuple[int, int] = 8,
    fill: FillLike = "gray",
    method: Method = "auto",
    engine: EngineName = "auto",
    batch: int | None = None,
    progress: Watcher | None = None,
) -> Occlusion | list[Occlusion]:
    """Cover one place after another and watch the target's score (Zeiler and Fergus 2014, fig. 6).

    With f the score, m the window and x' the image covered by it, a pixel's value is Σ m · (f(x) − f(x')) / Σ m over
    all windows. Windows start at 0, stride, 2·stride, …; the last of a row or column is cut off at the border.

    The result is exact. Where the network allows, only what a window can change is computed anew (`method`
    "incremental"), which costs a fraction of running every occluded image ("dense"); "auto" estimates which is less.

    Parameters
    ----------
    image
        `(C, H, W)` or `(N, C, H, W)` in [0, 1], as `network.prepare` gives it.
    target
        A class, a difference, a unit, a layer or a function; a list of them is answered in one pass by a list.
    window, stride
        In pixels, of rows and columns alike or a pair.
    fill
        What the window is covered with: "gray" (0.5), "mean" (the image's own, in each channel), "zero" (0 after
        normalization), a number, one number a channel, or an image like this one.
    engine
        What runs the part of the network in which all changes: "torch", "onnx" (the extra `onnx`, on a processor), or
        "auto", the faster after a short trial.
    batch
        Windows at once; by default what memory near the processor holds.

    Raises
    ------
    TargetError, ImageError
    Cancelled
        `progress` returned False; within one batch.

    >>> import convscope as cs
    >>> net = cs.load("efficientnet-lite0")
    >>> result = occlusion(net, torch.zeros(3, 224, 224), "golden retriever", window=112, stride=56)
    >>> result.probabilities.shape, result.values.shape
    (torch.Size([3, 3]), torch.Size([224, 224]))
    """
    check_image(image, channels=network.channels)
    several = isinstance(target, list)
    asked = [network.target(each, image) for each in (target if isinstance(target, list) else [target])]
    if not asked:
        raise TargetError("got an empty list of targets; expected at least one")
    windows = Windows.over(image, window, stride)
    images = [image] if image.dim() == 3 else list(image)
    steps = Steps(len(images) * len(windows), progress)
    measured: list[list[Measured]] = []
    chosen = engine
    with torch.no_grad():
        for each in images:
            cover = Cover(network, each, fill)
            way = way_for(network, Asked.by(asked), windows, cover, method=method, engine=chosen, batch=batch)
            # One trial of engines serves all images of a batch.
            chosen = way.engine
            measured.append(measure(network, asked, way, windows, steps))
    # Made again it is mostly of other weights, of which no export to ONNX is at hand.
    again = partial(occlusion, window=window, stride=stride, fill=fill, method=method, engine="torch", batch=batch)
    filled = as_parameter(fill)
    parameters: dict[str, JSON] = {
        "window": list(window) if isinstance(window, tuple) else window,
        "stride": list(stride) if isinstance(stride, tuple) else stride,
        "fill": filled,
        "method": way.method, "engine": way.engine,
    }  # fmt: skip
    results = []
    for index, one in enumerate(asked):
        inputs = [image, *([fill] if isinstance(fill, Tensor) and filled == "image" else []), *one.masks]
        recipe = network.recipe(
            "occlusion", {"target": one.text, **parameters}, images=inputs, batch=batch, engine=way.description
        )
        seen = [each[index] for each in measured]
        results.append(_result(image, one, windows, seen, recipe, partial(again, target=one), way.method))
    return results if several else results[0]


def _result(
    image: Tensor,
    target: Target,
    windows: Windows,
    measured: Sequence[Measured],
    recipe: Recipe,
    again: Callable[..., Occlusion],
    method: Method,
) -> Occlusion:
    """One target's result, of one image or of a batch."""

    def joined(values: Sequence[Tensor]) -> Tensor:
        return values[0] if image.dim() == 3 else torch.stack(list(values))

    likely = [each.probabilities for each in measured if each.probabilities is not None]
    before = [each.baseline_probability for each in measured if each.baseline_probability is not None]
    values = joined([windows.averaged(each.baseline - each.scores) for each in measured])
    return Occlusion(
        values, image, target.text, recipe, target.unit, again, asked=target,
        scores=joined([each.scores for each in measured]),
        probabilities=joined(likely) if likely else None,
        baseline=joined([each.baseline for each in measured]),
        baseline_probability=joined(before) if before else None,
        windows=windows,
        method=method,
    )  # fmt: skip
