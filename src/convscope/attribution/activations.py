"""Activations: every channel of a layer for one image."""

from dataclasses import dataclass, replace

from PIL import Image
from torch import Tensor

from convscope.errors import LayerError
from convscope.image.recipe import Recipe
from convscope.image.write import to_picture
from convscope.network.network import Network
from convscope.render.channels import channel_grid
from convscope.render.grid import grid
from convscope.render.result import Pictured


@dataclass(frozen=True)
class Activations(Pictured):
    """What the channels of `layer` answer to `image`: `values` `(C, H, W)`, the batch in front if there was one."""

    values: Tensor
    image: Tensor
    layer: str
    recipe: Recipe

    def strongest(self, count: int) -> list[int]:
        """The channels with the largest single activations, strongest first."""
        return self.values.flatten(-2).amax(dim=-1).topk(min(count, self.values.shape[-3])).indices.tolist()

    def picture(self, *, shared: bool = False, strongest: int | None = None, beside: bool = True) -> Image.Image:
        """A grid of all channels, or of the `strongest` so many, next to the image unless `beside` is false.

        With `shared`, all are on one scale; otherwise each has its own, which the picture says.
        """
        if self.values.dim() == 4:
            ones = [
                replace(self, values=values, image=image) for values, image in zip(self.values, self.image, strict=True)
            ]
            return grid([each.picture(shared=shared, strongest=strongest, beside=beside) for each in ones], columns=1)
        channels, rows, columns = self.values.shape
        title = f"{self.layer}: {channels} channels of {rows}×{columns}"
        chosen = list(range(channels)) if strongest is None else self.strongest(strongest)
        if len(chosen) < channels:
            title += f", the {len(chosen)} strongest"
        labels = [str(channel) for channel in chosen]
        maps = channel_grid(self.values[chosen].float(), shared=shared, labels=labels, title=title)
        if not beside:
            return maps
        photograph = to_picture(self.image)
        sheet = Image.new("RGB", (photograph.width + maps.width, max(photograph.height, maps.height)), "white")
        sheet.paste(photograph, (0, 0))
        sheet.paste(maps, (photograph.width, 0))
        return sheet


def activations(network: Network, image: Tensor, layer: str) -> Activations:
    """The output of every channel of `layer` for an image `(C, H, W)` or a batch of them.

    Raises
    ------
    LayerError
        The network has no such layer, or it has no space: its output is a vector, not a stack of maps.

    >>> import torch, convscope as cs
    >>> net = cs.load("efficientnet-lite0")
    >>> activations(net, torch.zeros(3, 224, 224), "blocks.3").values.shape
    torch.Size([40, 28, 28])
    """
    values = network.capture(image, [layer])[layer]
    if values.dim() != image.dim():
        shape = tuple(values.shape[image.dim() - 3 :])
        spatial = [name for name, each in network.layers.items() if each.has_space]
        raise LayerError(
            f"layer {layer!r} has no space, its output is {shape}; choose one with maps, the last is {spatial[-1]!r}"
            if spatial else f"layer {layer!r} has no space, its output is {shape}, nor has any other"
        )  # fmt: skip
    return Activations(values, image, layer, network.recipe("activations", {"layer": layer}, images=[image]))
