"""What in a patch excites a unit: its activation passed back to the pixels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from convscope.image.resize import Placement
from convscope.image.viewable import viewable
from convscope.network.differentiable import Differentiable
from convscope.network.differentiation import image_gradient
from convscope.network.network import Network
from convscope.network.rules import Rule
from convscope.network.target import Target
from convscope.scanning.crops import Cut, View, worded

_CLIP = 0.995


@dataclass(frozen=True)
class Unit:
    """One unit of a layer: its channel, and its row and column where the layer has space."""

    channel: int
    place: tuple[int, int]


@dataclass(frozen=True)
class _Units(Target):
    """Another unit of one layer for each image of the batch."""

    layer: str = ""
    units: tuple[Unit, ...] = ()

    @property
    def layers(self) -> tuple[str, ...]:
        return (self.layer,)

    @property
    def needs_output(self) -> bool:
        return False

    def score(self, output: Any, layers: Mapping[str, Tensor], *, count: int | None = None) -> Tensor:
        values = layers[self.layer]
        # Selected one by one, which the rules read as they read a target's single unit.
        of_map = [(unit.channel, *unit.place)[: values.dim() - 1] for unit in self.units]
        return torch.stack([values[index, *unit] for index, unit in enumerate(of_map)])


class Projector:
    """Passes units of one layer back to the pixels, another for each image of a batch, in one pass for all.

    Each gradient is what `network.gradient(image, "LAYER:CHANNEL@ROW,COLUMN", …)` gives, but for rounding: where the
    network can be traced, it is run as it is fastest. Raises LayerError if it has no such layer.
    """

    def __init__(self, network: Network, layer: str) -> None:
        self._layer = network.layers[layer].name
        shape = (network.channels, *network.input_size)
        self._network = Differentiable(network, shape, layers=[self._layer], whole=False)

    def __call__(self, batch: Tensor, units: Sequence[Unit], *, rule: Rule, smooth: str | None = None) -> Tensor:
        """Of a batch `(N, C, H, W)` of prepared images, in its shape. Raises as `Network.gradient` does."""
        target = _Units(f"units of {self._layer}", layer=self._layer, units=tuple(units))
        return image_gradient(self._network.forward, batch, target, rule=rule, smooth=smooth)


def projection_tile(values: Tensor, view: View, unit: tuple[int, int], *, cell: int) -> Image.Image:
    """A projection `(C, H, W)` of the whole input as a tile beside that of `crop`; 0 is mid-grey.

    The scale is the tile's own and the same for all colours, as figures of Zeiler and Fergus (2014) and Springenberg
    et al. (2014) show them; of a thousand values the five that are farthest from 0 are clipped. Where all are 0, as
    above a rectifier's ceiling under `guided`, the tile says so.
    """
    cut = Cut.of(view, unit, Placement(view.input_size, view.input_size, (0, 0)), cell=cell)
    if cut.shown is None or not values.any():
        return worded(cut.size, ("no", "gradient"))
    # Numbers are scaled before they become colours, or the fine grain of a large field would fade to grey.
    maps = viewable(values.detach().float().cpu()).numpy()
    small = np.stack([np.asarray(cut.scaled(Image.fromarray(each))) for each in maps], axis=-1)
    reach = np.quantile(np.abs(small), _CLIP) or np.abs(small).max() or 1.0
    levels = np.rint(np.clip(0.5 + small / (2 * reach), 0, 1) * 255).astype(np.uint8)
    return cut.pasted(Image.fromarray(levels if levels.shape[-1] == 3 else levels[..., 0]))
