"""Attribution: signed values for every pixel, and the picture of them."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import torch
from PIL import Image
from torch import Tensor

from convscope.errors import ImageError, nearest
from convscope.image.recipe import Recipe
from convscope.image.write import to_picture
from convscope.network.network import Network
from convscope.network.target import Target
from convscope.render.colours import Scale
from convscope.render.grid import grid
from convscope.render.heatmap import heatmap
from convscope.render.overlay import overlay
from convscope.render.result import Pictured

Reduction = Literal["max", "sum", "l2", "signed"]
Style = Literal["heatmap", "overlay", "beside", "colour"]


@dataclass(frozen=True)
class Attribution(Pictured):
    """How much each pixel matters to a target.

    `values` are signed and unscaled, `(C, H, W)` or `(H, W)`, with the batch in front if there was one; `image` is
    what was looked at, `(C, H, W)` or `(N, C, H, W)` in [0, 1]; `unit` what one of the values is counted in; `again`
    makes the same map of another network or image. `note` says in words what a map alone would not. `asked` is the
    target itself, None where only `target`, its words, is known.
    """

    values: Tensor
    image: Tensor
    target: str
    recipe: Recipe
    unit: str
    again: Callable[[Network, Tensor], "Attribution"] = field(repr=False, compare=False)
    note: str = ""
    asked: Target | None = field(default=None, repr=False, compare=False, kw_only=True)

    @property
    def heatmap(self) -> Tensor:
        """One number a pixel, `(H, W)`: the largest absolute value over the colour channels (Simonyan et al. 2013)."""
        return self.reduced("max")

    def reduced(self, reduction: Reduction) -> Tensor:
        """One number a pixel, `(H, W)`, with the batch in front if there was one.

        Over the colour channels: "max" the largest absolute value, "sum" the sum of absolute values, "l2" the root of
        the sum of squares, "signed" the plain sum.
        """
        if self.values.dim() < self.image.dim():
            return self.values
        if reduction not in get_args(Reduction):
            raise ImageError(f"unknown reduction {reduction!r}; {nearest(str(reduction), get_args(Reduction))}")
        if reduction == "max":
            return self.values.abs().amax(dim=-3)
        if reduction == "l2":
            return self.values.square().sum(dim=-3).sqrt()
        return (self.values if reduction == "signed" else self.values.abs()).sum(dim=-3)

    def picture(self, *, style: Style = "heatmap", reduction: Reduction = "max", clip: float = 99.5) -> Image.Image:
        """The map as a picture.

        `style` is "heatmap", "overlay" on the photograph, "beside" it, or "colour": the values themselves as an image,
        grey where 0. Colours end at the `clip` percentile, which the legend shows.
        """
        if style not in get_args(Style):
            raise ImageError(f"unknown style {style!r}; {nearest(str(style), get_args(Style))}")
        if self.image.dim() == 4:
            singles = (self._one(index) for index in range(len(self.image)))
            return grid([each.picture(style=style, reduction=reduction, clip=clip) for each in singles])
        if style == "colour":
            return to_picture(self._as_image(clip))
        return self._mapped(style, self.reduced(reduction), clip)

    def _mapped(self, style: Style, values: Tensor, clip: float) -> Image.Image:
        scale = Scale.of(values, percentile=clip)
        if style == "overlay":
            return overlay(self.image, values, scale=scale, legend=self.unit)
        size = (values.shape[-2], values.shape[-1])
        heat = heatmap(values, scale=scale, size=size, legend=self.unit)
        return heat if style == "heatmap" else grid([to_picture(self.image), heat], cell=size[1])

    def _as_image(self, clip: float) -> Tensor:
        """The values about mid-grey, scaled alike in all channels."""
        values = self.values.float()
        values = values if values.dim() == 3 else values[None]
        largest = torch.quantile(values.abs().flatten(), clip / 100).clamp(min=torch.finfo(values.dtype).tiny)
        return (0.5 + values / (2 * largest)).clamp(0, 1)

    def _one(self, index: int) -> "Attribution":
        return replace(self, values=self.values[index], image=self.image[index])
