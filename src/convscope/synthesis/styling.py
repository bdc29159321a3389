"""Styling: a picture's way to what it works towards, through all scales."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from convscope.errors import ImageError, Stopped
from convscope.image.resize import resize
from convscope.network.network import Network
from convscope.progress import Progress, Steps, Watcher
from convscope.synthesis.colour_kept import like_luminance, luminance, with_chroma_of, with_colours_of
from convscope.synthesis.exact_windows import ExactWindows
from convscope.synthesis.objectives import Objective
from convscope.synthesis.optimize import optimize
from convscope.synthesis.settings import Settings
from convscope.synthesis.start import draws
from convscope.synthesis.style_loss import TERMS, Curve, Plan, Size, StyleLoss
from convscope.synthesis.synthesized import as_files_hold
from convscope.synthesis.windowed_style import WindowedStyleLoss

# A sigmoid hardly moves what is black or white: skies would stay as they are.
_EDGE = 0.05


@dataclass(frozen=True)
class Styled:
    """The finished picture `(1, C, H, W)`, the curve of each scale, and the terms of that picture by name."""

    images: Tensor
    curves: tuple[Curve, ...]
    losses: Mapping[str, float]


class Styling:
    """One picture on its way through all scales; `windows` are what is larger than they are seen through."""

    def __init__(
        self,
        network: Network,
        plan: Plan,
        settings: Settings,
        content: Tensor,
        styles: Sequence[Tensor],
        masks: Tensor | None,
        windows: ExactWindows | None = None,
    ) -> None:
        self._network, self._plan, self._settings, self._masks = network, plan, settings, masks
        self._windows = windows
        self._content, *self._styles = (each.to(network.device, network.dtype) for each in (content, *styles))

    def run(self, start: str | Tensor, scales: Sequence[Size], seed: int, watcher: Watcher | None) -> Styled:
        """From the coarsest scale to the finest, each starting from the picture of the one before."""
        picture = self._first(start, scales[0], seed)
        curves: list[Curve] = []
        rows: list[dict[str, float]] = []

        def watch(progress: Progress) -> bool | None:
            rows.append(loss.terms)
            return None if watcher is None else watcher(replace(progress, preview=self._finished(progress.preview)))

        steps = Steps(self._settings.steps * len(scales), watch)
        for size in scales:
            rows.clear()
            picture = scaled(picture, size)
            content, styles = as_seen(self._plan, self._content, self._styles, size)
            loss = self._loss(content, styles)
            picture = self._climbed(picture, loss.objective(), seed, steps)
            curves.append(Curve(size, *(torch.tensor([row.get(name, 0.0) for row in rows]) for name in TERMS)))
        finished = as_files_hold(self._finished(picture[None]))
        shown = luminance(finished) if self._plan.colour == "luminance" else finished
        loss.measure(shown)
        return Styled(finished.cpu(), tuple(curves), loss.terms)

    def _loss(self, content: Tensor, styles: Sequence[Tensor]) -> StyleLoss | WindowedStyleLoss:
        """What the picture works towards at a scale."""
        largest = max(side for each in (content, *styles) for side in each.shape[-2:])
        if self._windows is None or largest <= self._windows.tile:
            return StyleLoss(self._network, self._plan, content, styles, self._masks)
        return WindowedStyleLoss(self._windows, self._plan, content, styles, self._masks)

    def _climbed(self, picture: Tensor, objective: Objective, seed: int, steps: Steps) -> Tensor:
        """The picture `(C, H, W)` after the steps of one scale."""
        channels, rows, columns = picture.shape
        settings = self._settings
        parameters = settings.parameterization.start(picture[None].clamp(_EDGE, 1 - _EDGE))
        try:
            climbed = optimize(
                self._network, objective, parameters, (channels, rows, columns), settings,
                draws=draws(seed, 1), steps=steps,
            )  # fmt: skip
        except Stopped as stopped:
            so_far = picture[None] if stopped.so_far is None else stopped.so_far
            stopped.so_far = self._finished(so_far)
            raise
        return climbed.images[0]

    def _first(self, start: str | Tensor, size: Size, seed: int) -> Tensor:
        """The picture to start from, `(C, H, W)`."""
        if isinstance(start, Tensor):
            picture = scaled(start.to(self._content), size)
        elif start == "noise":
            form, shape = self._settings.parameterization, (self._network.channels, *size)
            picture = form.images(form.noise(shape, draws(seed, 1)).to(self._content), shape)[0]
        else:
            picture = scaled(self._content if start == "content" else self._styles[0], size)
        return luminance(picture) if self._plan.colour == "luminance" else picture

    def _finished(self, images: Tensor) -> Tensor:
        """Images `(N, C, H, W)` as they are to be seen: with the content's chroma where it is kept."""
        if self._plan.colour != "luminance":
            return images
        return with_chroma_of(scaled(self._content, (images.shape[-2], images.shape[-1])), images)


def as_seen(plan: Plan, content: Tensor, styles: Sequence[Tensor], size: Size) -> tuple[Tensor, list[Tensor]]:
    """Content and styles as the network sees them at a scale: of its size, and with the colours that count.

    A style keeps its size in relation to the content's.
    """
    content_scaled = scaled(content, size)
    factor = plan.style_scale * max(size) / max(content.shape[-2:])
    shown = [scaled(each, sized(each, factor)) for each in styles]
    if plan.colour == "luminance":
        return luminance(content_scaled), [like_luminance(each, content_scaled) for each in shown]
    if plan.colour == "matched":
        return content_scaled, [with_colours_of(content_scaled, each) for each in shown]
    return content_scaled, shown


def scaled(image: Tensor, size: Size) -> Tensor:
    """An image `(C, H, W)` of another size, itself if it has it already."""
    return image if tuple(image.shape[-2:]) == tuple(size) else resize(image, size)


def sized(image: Tensor, factor: float) -> Size:
    """Rows and columns of an image made so many times as large. Raises ImageError for a factor that is none."""
    if not 0 < factor < math.inf:
        raise ImageError(f"got a scale of {factor}, expected more than 0")
    rows, columns = (max(1, round(side * factor)) for side in image.shape[-2:])
    return rows, columns
