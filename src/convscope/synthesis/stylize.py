"""Stylize: pictures in the manner of others, in one pass of a network that was trained for it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from convscope.errors import ImageError
from convscope.image.check import check_image
from convscope.image.provenance import recall
from convscope.image.recipe import Recipe
from convscope.image.write import atomic_path, to_picture
from convscope.network.engine import EngineName
from convscope.progress import Steps, Watcher
from convscope.render.grid import grid
from convscope.render.result import Pictured
from convscope.synthesis.fast_style.loading import load_styles
from convscope.synthesis.fast_style.onnx_file import onnx_model
from convscope.synthesis.fast_style.style_network import StyleNetwork
from convscope.synthesis.fast_style.stylizing import Colour, NetworkLike, Styles, Stylizing
from convscope.synthesis.synthesized import as_files_hold


@dataclass(frozen=True, kw_only=True)
class Stylized(Pictured):
    """Images `(N, 3, H, W)` in a style, in the steps of 1/255 that a file holds.

    `style` has the shares of the styles in it by name; they add up to 1.
    """

    images: Tensor
    style: Mapping[str, float]
    recipe: Recipe

    @property
    def image(self) -> Tensor:
        """The first of them, `(3, H, W)`."""
        return self.images[0]

    def picture(self, *, which: int | None = None, columns: int | None = None) -> Image.Image:
        """One image as it is, number `which`; or all of them where there are several."""
        count = len(self.images)
        if which is not None and not 0 <= which < count:
            raise ImageError(f"got which={which}, expected 0 to {count - 1}: there are {count} images")
        if which is not None or count == 1:
            return to_picture(self.images[which or 0])
        return grid([to_picture(each) for each in self.images], columns=columns)


def stylize(
    images: Tensor,
    style: Styles = None,
    *,
    network: NetworkLike = None,
    colour: Colour = "style",
    engine: EngineName = "auto",
    progress: Watcher | None = None,
) -> Stylized:
    """Images in the manner of others, in one pass of a network (Johnson, Alahi and Fei-Fei 2016).

        y = f(x; Σ wₛ γₛ, Σ wₛ βₛ)

    One network has several styles: all that is a style's own are scale γ and shift β of its normalizations, so weighted
    means of these are blends of styles (Dumoulin, Shlens and Kudlur 2017).

    Parameters
    ----------
    images
        `(3, H, W)` or `(N, 3, H, W)` in [0, 1], of any size; the results have the same. Each is stylized by itself.
    style
        A name; weights by name, of which only proportions count; or None for the first that the network has.
    network
        By default the one that convscope brings along; or a file that `train_style` wrote, or what `load_styles` made
        of it, on any device.
    colour
        "style" takes the style's colours; "luminance" keeps the images' chroma exactly.
    engine
        "auto" is ONNX Runtime on a processor where it is installed, else "torch".
    progress
        Called after each image; returning False stops.

    Raises
    ------
    ImageError
        For what is no image, and for a style that the network doesn't have.
    WeightsError, NetworkError, MissingExtra
        For a file that holds no such network, a size that needs more memory than is free, an engine that can't be had.
    Cancelled

    >>> import convscope as cs
    >>> from convscope.synthesis.fast_style.style_network import Architecture, StyleNetwork
    >>> untrained = StyleNetwork(["waves", "dots"], Architecture(width=4, blocks=1))
    >>> made = stylize(cs.read_image("coffee", 100), {"waves": 1, "dots": 3}, network=untrained)
    >>> made.image.shape, made.style
    (torch.Size([3, 67, 100]), {'waves': 0.25, 'dots': 0.75})
    """
    check_image(images, channels=3)
    stylizing = Stylizing(network, style, colour, engine)
    stylizing.check_memory((images.shape[-2], images.shape[-1]))
    batch = images if images.dim() == 4 else images[None]
    steps, made = Steps(len(batch), progress), []
    for image in batch:
        made.append(as_files_hold(stylizing(image)))
        steps.done(preview=made[-1])
    return Stylized(
        images=torch.stack(made), style=stylizing.shares, recipe=stylizing.recipe("stylize", {}, (recall(images),))
    )


def export_onnx(path: str | os.PathLike[str], network: NetworkLike = None) -> None:
    """Write a style network as an ONNX file, which ONNX Runtime runs without convscope.

    Inputs are `image` `(N, 3, H, W)` in [0, 1], of any size, and `mix` `(1, styles)`, how much of each style, adding up
    to 1; the output `stylized` is like `image`. The metadata `styles` has the names as a JSON list.

    Raises ImageError if it can't be written, WeightsError for a file that holds no style network, MissingExtra.
    """
    model = onnx_model(network if isinstance(network, StyleNetwork) else load_styles(network))
    with atomic_path(path) as temporary:
        temporary.write_bytes(model)
