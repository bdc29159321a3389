"""What in a patch excites a unit: its activation passed back to the pixels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from convscope.image.resize import Box
from convscope.image.write import to_picture
from convscope.network.network import Network
from convscope.network.rules import Rule
from convscope.network.target import Target

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
        rows = zip(values, self.units, strict=True)
        return torch.stack([each[unit.channel][unit.place if each.dim() == 3 else ()] for each, unit in rows])


def project(
    network: Network, batch: Tensor, layer: str, units: Sequence[Unit], *, rule: Rule, smooth: str | None = None
) -> Tensor:
    """The gradient of another unit for each image of a batch `(N, C, H, W)`, in the batch's shape.

    Each is what `network.gradient(image, "LAYER:CHANNEL@ROW,COLUMN", rule=rule, smooth=smooth)` gives, by one pass for
    all. Raises as that does.
    """
    name = network.layers[layer].name
    return network.gradient(batch, _Units(f"units of {name}", layer=name, units=tuple(units)), rule=rule, smooth=smooth)


def projection_picture(values: Tensor, seen: Box) -> Image.Image:
    """A projection `(C, H, W)` as a picture: 0 is mid-grey, and the largest values in the box `seen` reach the ends.

    The scale is the patch's own, and the same for all colours, as figures of Zeiler and Fergus (2014) and Springenberg
    et al. (2014) show them; of a thousand values the five that are farthest from 0 are clipped.
    """
    top, left, bottom, right = seen
    values = values.detach().float().cpu()
    within = values[:, top:bottom, left:right].abs().flatten()
    # Where next to all values are 0, that quantile of them is 0, too.
    reach = torch.quantile(within, _CLIP) if within.numel() else values.new_zeros(())
    reach = reach if reach > 0 else within.max() if within.numel() else reach
    return to_picture((0.5 + values / (2 * reach.clamp(min=torch.finfo(values.dtype).tiny))).clamp(0, 1))
