"""What a style network is trained for: the loss of style transfer, without its optimization."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from convscope.network.differentiable import Differentiable
from convscope.network.network import Network
from convscope.synthesis.objectives import relative_error
from convscope.synthesis.objectives.statistics import STATISTICS
from convscope.synthesis.regularizers.total_variation import total_variation

TERMS = ("content", "style", "tv")


@dataclass(frozen=True, kw_only=True)
class Weights:
    """What counts, and how much: layers by name with shares that add up to 1, and the terms."""

    content_layers: Mapping[str, float]
    style_layers: Mapping[str, float]
    content: float
    style: float
    tv: float

    @property
    def terms(self) -> dict[str, float]:
        """By name."""
        return dict(zip(TERMS, (self.content, self.style, self.tv), strict=True))


class PerceptualLoss:
    """Of stylized images, as `network` sees them (Johnson, Alahi and Fei-Fei 2016).

        content · ‖a(y) − a(x)‖² / ‖a(x)‖² + style · Σ ‖G(y) − G_s‖² / ‖G_s‖² + tv · TV(y)

    for an image x, what became of it y, and the style s that it should have: the loss of `convscope.style`, whose
    `statistics` may take the place of the Gram matrix.
    """

    def __init__(
        self, network: Network, weights: Weights, styles: Sequence[Tensor], size: int, *, statistics: str = "gram"
    ) -> None:
        self._weights = weights
        layers = tuple(dict.fromkeys([*weights.content_layers, *weights.style_layers]))
        self._network = Differentiable(network, (3, size, size), layers=layers, whole=False)
        self._content_layers, self._layers = tuple(weights.content_layers), layers
        self._distances = [
            {
                name: STATISTICS[statistics](each[None])
                for name, each in network.capture(style.to(network.device), tuple(weights.style_layers)).items()
            }
            for style in styles
        ]

    def __call__(self, stylized: Tensor, images: Tensor, styles: Sequence[int]) -> dict[str, Tensor]:
        """Each term, without its weight, the mean over the batch; `styles` are the numbers of those wanted."""
        with torch.no_grad():
            wanted = self._network.forward(images, self._content_layers, False).layers
        seen = self._network.forward(stylized, self._layers, False).layers
        content = sum(
            (
                weight * relative_error(seen[name], wanted[name])
                for name, weight in self._weights.content_layers.items()
            ),
            start=stylized.new_zeros(len(stylized)),
        )
        style = [
            weight * self._distances[number][name](seen[name][at : at + 1], None)
            for name, weight in self._weights.style_layers.items()
            for at, number in enumerate(styles)
        ]
        return {
            "content": content.mean(),
            "style": torch.cat(style).sum() / len(stylized),
            "tv": total_variation(stylized).mean(),
        }

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum."""
        weights = self._weights.terms
        return torch.stack([weights[name] * term for name, term in terms.items()]).sum()
