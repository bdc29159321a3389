"""What a picture works towards in styling: content by features, style by statistics, both in one loss."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from convscope.image.recipe import JSON
from convscope.network.network import Network
from convscope.synthesis.objectives import Objective, Seen, measured, relative_error
from convscope.synthesis.objectives.smoothing import smoothed
from convscope.synthesis.objectives.statistics import STATISTICS, Distance
from convscope.synthesis.regularizers.total_variation import total_variation

Colour = Literal["style", "luminance", "matched"]
Size = tuple[int, int]

TERMS = ("content", "style", "tv", "dream")


@dataclass(frozen=True)
class Curve:
    """The terms of the loss at each step at one scale, without their weights, `(steps,)` each; `size` is (H, W)."""

    size: Size
    content: Tensor
    style: Tensor
    tv: Tensor
    dream: Tensor


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
    smoothing: bool = False

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
        self._network = network
        answered = network.capture(content, plan.layers)
        self._content = {name: self._shown(answered[name][None])[0] for name in plan.content_layers}
        self._own_energy = content.new_ones(()) if plan.dream is None else _energy(answered[plan.dream])
        shares = plan.weights if masks is None else region_shares(plan.weights, masks)
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

    def measure(self, images: Tensor) -> None:
        """Take the terms of images `(1, C, H, W)`."""
        measured(self._network, self.objective(), images)

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
            weight * relative_error(self._shown(seen.layer(name)), self._content[name])
            for name, weight in self._plan.content_layers.items()
        )
        return sum(errors, start=seen.images.new_zeros(1))

    def _of_style(self, seen: Seen) -> Tensor:
        """Σ weight · distance over styles and layers."""
        shown = {name: self._shown(seen.layer(name)) for name in self._plan.style_layers}
        distances = (
            region.share * weight * region.distances[name](shown[name], region.places[name])
            for region in self._regions
            for name, weight in self._plan.style_layers.items()
        )
        return sum(distances, start=seen.images.new_zeros(1))

    def _of_dream(self, seen: Seen, layer: str) -> Tensor:
        """The log of a layer's energy in units of the content's: it goes on rising, but ever more slowly."""
        return (_energy(seen.layer(layer)) / self._own_energy).log()[None]

    def _shown(self, features: Tensor) -> Tensor:
        """Features `(N, C, h, w)` as they are compared."""
        return smoothed(features) if self._plan.smoothing else features

    def _distances(self, network: Network, style: Tensor) -> dict[str, Distance]:
        features = network.capture(style, tuple(self._plan.style_layers))
        return {name: STATISTICS[self._plan.statistics](self._shown(each[None])) for name, each in features.items()}

    def _places(self, answered: Mapping[str, Tensor], mask: Tensor | None) -> dict[str, Tensor | None]:
        """A mask at the size of each layer, soft where it has an edge."""
        return {name: None if mask is None else at_layer(mask, answered[name]) for name in self._plan.style_layers}


def _energy(features: Tensor) -> Tensor:
    return features.square().mean().clamp(min=1e-12)


def at_layer(mask: Tensor, features: Tensor) -> Tensor:
    """A mask `(H, W)` at the size of features `(C, h, w)`: of what each place covers, the share that counts.

    >>> at_layer(torch.tensor([[1.0, 1.0, 1.0, 0.0]]), torch.zeros(8, 1, 2))
    tensor([[1.0000, 0.5000]])
    """
    size = (features.shape[-2], features.shape[-1])
    return F.interpolate(mask[None, None].to(features), size, mode="area")[0, 0]


def region_shares(weights: Sequence[float], masks: Tensor) -> list[float]:
    """Weights times the areas of their regions, adding up to 1: so a place counts alike in a large one and a small."""
    areas = torch.tensor(weights) * masks.mean(dim=(1, 2)).cpu()
    shares: list[float] = (areas / areas.sum()).tolist()
    return shares
