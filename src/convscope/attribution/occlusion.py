"""Occlusion: how a target's score changes as a window covers one place after another (Zeiler and Fergus 2014)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, NamedTuple, overload

import torch
from PIL import Image
from torch import Tensor

from convscope.attribution.attribution import Attribution, Reduction, Style
from convscope.attribution.occluder import FillLike, Windows, fill_image
from convscope.image.recipe import JSON
from convscope.network.network import Network
from convscope.network.target import Target, TargetLike
from convscope.progress import Steps, Watcher

Method = Literal["auto", "incremental", "dense"]


class Rise(NamedTuple):
    """A place whose occlusion helps the target: its box (top, left, bottom, right) and by how much the score rises."""

    box: tuple[int, int, int, int]
    gain: float


@dataclass(frozen=True, kw_only=True)
class Occlusion(Attribution):
    """What covering each place does to a target.

    `values` `(H, W)` is the fall of the score, averaged over the windows that cover a pixel: positive where the target
    needs what is there. `scores` and `probabilities` `(rows, columns)` are those with the window at each of its
    places (`windows`), `baseline` and `baseline_probability` those of the image as it is. Probabilities are None where
    the target is no single class. For a batch all have its `N` in front.
    """

    scores: Tensor
    probabilities: Tensor | None
    baseline: Tensor
    baseline_probability: Tensor | None
    windows: Windows

    def rises(self) -> list[Rise]:
        """The places of an image whose occlusion raises the score, the largest gain first."""
        gains = (self.scores - self.baseline[..., None, None]).flatten().tolist()
        found = [Rise(self.windows.box(index), gain) for index, gain in enumerate(gains) if gain > 0]
        return sorted(found, key=lambda rise: -rise.gain)


@overload
def occlusion(
    network: Network,
    image: Tensor,
    target: TargetLike,
    *,
    window: int | tuple[int, int] = ...,
    stride: int | tuple[int, int] = ...,
    fill: FillLike = ...,
    method: Method = ...,
    batch: int | None = ...,
    progress: Watcher | None = ...,
) -> Occlusion: ...


@overload
def occlusion(
    network: Network,
    image: Tensor,
    target: Sequence[TargetLike],
    *,
    window: int | tuple[int, int] = ...,
    stride: int | tuple[int, int] = ...,
    fill: FillLike = ...,
    method: Method = ...,
    batch: int | None = ...,
    progress: Watcher | None = ...,
) -> list[Occlusion]: ...


def occlusion(
    network: Network,
    image: Tensor,
    target: TargetLike | Sequence[TargetLike],
    *,
    window: int | tuple[int, int] = 32,
    stride: int | tuple[int, int] = 8,
    fill: FillLike = "gray",
    method: Method = "auto",
    batch: int | None = None,
    progress: Watcher | None = None,
) -> Occlusion | list[Occlusion]:
    """Cover one place after another and watch the target's score."""
    several = isinstance(target, Sequence) and not isinstance(target, str)
    asked = [network.target(each, image) for each in (target if several else [target])]  # type: ignore[union-attr,list-item]
    windows = Windows.over(image, window, stride)
    images = image if image.dim() == 4 else image[None]
    steps = Steps(len(images) * len(windows), progress)
    measured = [_measured(network, each, asked, windows, fill, batch or 32, steps) for each in images]
    results = []
    for index, each in enumerate(asked):
        scores, probabilities, baseline, baseline_probability = zip(*(one[index] for one in measured), strict=True)
        parameters: dict[str, JSON] = {
            "target": each.text,
            "window": list(window) if isinstance(window, tuple) else window,
            "stride": list(stride) if isinstance(stride, tuple) else stride,
            "fill": "image" if isinstance(fill, Tensor) else fill,
            "method": method,
        }
        inputs = [image, *([fill] if isinstance(fill, Tensor) else []), *each.masks]
        stacked = torch.stack(scores)
        values = torch.stack([windows.averaged(b - s) for s, b in zip(scores, baseline, strict=True)])
        single = image.dim() == 3
        results.append(
            Occlusion(
                values[0] if single else values,
                image,
                each.text,
                network.recipe("occlusion", parameters, images=inputs, batch=batch),
                each.unit,
                partial(occlusion, target=each, window=window, stride=stride, fill=fill, method=method, batch=batch),
                scores=stacked[0] if single else stacked,
                probabilities=None
                if probabilities[0] is None
                else probabilities[0]
                if single
                else torch.stack(probabilities),
                baseline=baseline[0] if single else torch.stack(baseline),
                baseline_probability=None if probabilities[0] is None else baseline_probability[0],
                windows=windows,
            )
        )
    return results if several else results[0]


def _measured(network, image, targets, windows, fill, batch, steps):  # type: ignore
    cover = fill_image(fill, image)
    if cover is None:
        cover = torch.as_tensor(network.normalize.mean, dtype=image.dtype)[:, None, None].expand_as(image)  # type: ignore
    clean = network.answers(image[None], targets)
    rows = [([], []) for _ in targets]
    for first in range(0, len(windows), batch):
        occluded = image.expand(min(batch, len(windows) - first), *image.shape).clone()
        for index in range(len(occluded)):
            top, left, bottom, right = windows.box(first + index)
            occluded[index, :, top:bottom, left:right] = cover[:, top:bottom, left:right]
        answers = network.answers(occluded, targets)
        for target, (scores, probabilities) in zip(targets, rows, strict=True):
            scores.append(answers.score(target))
            p = answers.probability(target)
            if p is not None:
                probabilities.append(p)
        steps.done(len(occluded))
    return [
        (torch.cat(s).reshape(windows.shape), torch.cat(p).reshape(windows.shape) if p else None, clean.score(t)[0],
         clean.probability(t)[0] if p else None)
        for t, (s, p) in zip(targets, rows, strict=True)
    ]  # fmt: skip
