"""Styling: what a picture works towards at each scale, content by features and style by statistics, and its way."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from convscope.errors import ImageError, Stopped
from convscope.image.recipe import JSON
from convscope.image.resize import resize
from convscope.network.network import Network
from convscope.progress import Progress, Steps, Watcher
from convscope.synthesis.colour_kept import like_luminance, luminance, with_chroma_of, with_colours_of
from convscope.synthesis.objectives import Objective, Seen, measured, relative_error
from convscope.synthesis.objectives.statistics import STATISTICS, Distance
from convscope.synthesis.optimize import optimize
from convscope.synthesis.regularizers.total_variation import total_variation
from convscope.synthesis.settings import Settings
from convscope.synthesis.start import draws
from convscope.synthesis.synthesized import as_files_hold

Colour = Literal["style", "luminance", "matched"]
Size = tuple[int, int]

# A sigmoid hardly moves what is black or white: skies would stay as they are.
_EDGE = 0.05

TERMS = ("content", "style", "tv", "dream")


@dataclass(frozen=True)
class Curve:
    """The terms of the loss at each step at one scale, without their weights, `(steps,)` each; `size` is (H, W)."""

    size: Size
    content: Tensor
    style: Tensor
    tv: Tensor
    dream: Tensor


@dataclass(frozen=True)
class Styled:
    """The finished picture `(1, C, H, W)`, the curve of each scale, and the terms of that picture by name."""

    images: Tensor
    curves: tuple[Curve, ...]
    losses: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What counts, and how much: weights by layer and by style, each lot adding up to 1, and of the terms."""

    content_layers: Mapping[str, float]
    style_layers: Mapping[str, float]
    weights: tuple[float, ...]
    content_weight: float
    style_weight: float
    tv: float
    dream: str | None
    dream_weight: float
    statistics: str
    style_scale: float
    colour: Colour

    @property
    def layers(self) -> tuple[str, ...]:
        """All that are looked at."""
        return tuple(dict.fromkeys([*self.held, *self.style_layers]))

    @property
    def held(self) -> tuple[str, ...]:
        """Those of which the content's features themselves are held, not statistics only."""
        return (*self.content_layers, *([] if self.dream is None else [self.dream]))

    @property
    def term_weights(self) -> dict[str, float]:
        """What each term is multiplied by in the loss."""
        dream = 0.0 if self.dream is None else -self.dream_weight
        return dict(zip(TERMS, (self.content_weight, self.style_weight, self.tv, dream), strict=True))

    def loss(self, curve: Curve) -> Tensor:
        """The weighted sum of the terms at each step, `(steps,)`."""
        return torch.stack([weight * getattr(curve, name) for name, weight in self.term_weights.items()]).sum(dim=0)

    def parameters(self) -> dict[str, JSON]:
        """As keyword arguments of `style` that make the same plan again."""
        return {**asdict(self), "weights": list(self.weights)}


@dataclass(frozen=True)
class _Region:
    """Of one style: its share of the style term, how far features of each layer are from it, and where that counts."""

    share: float
    distances: Mapping[str, Distance]
    places: Mapping[str, Tensor | None]


class StyleLoss:
    """The loss of images at one scale, and its terms at the images that were seen last.

    `masks` `(styles, H, W)` say where the content takes which style.
    """

    def __init__(
        self, network: Network, plan: Plan, content: Tensor, styles: Sequence[Tensor], masks: Tensor | None
    ) -> None:
        self._plan = plan
        answered = network.capture(content, plan.layers)
        self._content = {name: each for name, each in answered.items() if name in plan.held}
        shares = plan.weights if masks is None else _shares(plan.weights, masks)
        counted = [index for index, share in enumerate(shares) if share > 0]
        self._regions = [
            _Region(
                shares[index],
                self._distances(network, styles[index]),
                self._places(answered, None if masks is None else masks[index]),
            )
            for index in counted
        ]
        self.terms: dict[str, float] = {}

    def objective(self) -> Objective:
        """The loss as something to become large."""
        return Objective("style", self._value, self._plan.layers)

    def _value(self, seen: Seen) -> Tensor:
        terms = {"content": self._of_content(seen), "style": self._of_style(seen), "tv": total_variation(seen.images)}
        if self._plan.dream is not None:
            terms["dream"] = self._of_dream(seen, self._plan.dream)
        self.terms = {name: float(term.detach()) for name, term in terms.items()}
        weights = self._plan.term_weights
        return -sum((weights[name] * term for name, term in terms.items()), start=seen.images.new_zeros(1))

    def _of_content(self, seen: Seen) -> Tensor:
        """Σ weight · ‖a − a₀‖² / ‖a₀‖² over layers."""
        errors = (
            weight * relative_error(seen.layer(name), self._content[name])
            for name, weight in self._plan.content_layers.items()
        )
        return sum(errors, start=seen.images.new_zeros(1))

    def _of_style(self, seen: Seen) -> Tensor:
        """Σ weight · distance over styles and layers."""
        distances = (
            region.share * weight * region.distances[name](seen.layer(name), region.places[name])
            for region in self._regions
            for name, weight in self._plan.style_layers.items()
        )
        return sum(distances, start=seen.images.new_zeros(1))

    def _of_dream(self, seen: Seen, layer: str) -> Tensor:
        """The log of a layer's energy in units of the content's: it goes on rising, but ever more slowly."""
        energy, own = (each.square().mean().clamp(min=1e-12) for each in (seen.layer(layer), self._content[layer]))
        return (energy / own).log()[None]

    def _distances(self, network: Network, style: Tensor) -> dict[str, Distance]:
        features = network.capture(style, tuple(self._plan.style_layers))
        return {name: STATISTICS[self._plan.statistics](each[None]) for name, each in features.items()}

    def _places(self, answered: Mapping[str, Tensor], mask: Tensor | None) -> dict[str, Tensor | None]:
        """A mask at the size of each layer, soft where it has an edge."""
        return {name: None if mask is None else at_layer(mask, answered[name]) for name in self._plan.style_layers}


class Styling:
    """One picture on its way through all scales."""

    def __init__(
        self,
        network: Network,
        plan: Plan,
        settings: Settings,
        content: Tensor,
        styles: Sequence[Tensor],
        masks: Tensor | None,
    ) -> None:
        self._network, self._plan, self._settings, self._masks = network, plan, settings, masks
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
            loss = StyleLoss(self._network, self._plan, content, styles, self._masks)
            picture = self._climbed(picture, loss.objective(), seed, steps)
            curves.append(Curve(size, *(torch.tensor([row.get(name, 0.0) for row in rows]) for name in TERMS)))
        finished = as_files_hold(self._finished(picture[None]))
        shown = luminance(finished) if self._plan.colour == "luminance" else finished
        measured(self._network, loss.objective(), shown)
        return Styled(finished.cpu(), tuple(curves), loss.terms)

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


def at_layer(mask: Tensor, features: Tensor) -> Tensor:
    """A mask `(H, W)` at the size of features `(C, h, w)`: of what each place covers, the share that counts.

    >>> at_layer(torch.tensor([[1.0, 1.0, 1.0, 0.0]]), torch.zeros(8, 1, 2))
    tensor([[1.0000, 0.5000]])
    """
    size = (features.shape[-2], features.shape[-1])
    return F.interpolate(mask[None, None].to(features), size, mode="area")[0, 0]


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


def _shares(weights: Sequence[float], masks: Tensor) -> list[float]:
    """Weights times the areas of their regions, adding up to 1: so a place counts alike in a large one and a small."""
    areas = torch.tensor(weights) * masks.mean(dim=(1, 2)).cpu()
    shares: list[float] = (areas / areas.sum()).tolist()
    return shares
