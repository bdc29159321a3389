"""The weights of a convolution as tiles: colours where it reads the image, grey beyond."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from PIL import Image
from torch import Tensor

from convscope.anatomy.tiles import tile, tile_side
from convscope.errors import ConvscopeError, LayerError, nearest
from convscope.image.recipe import Recipe
from convscope.network.layers import Layer
from convscope.network.network import Network
from convscope.render.grid import lay_out, rows, stack, title_strip
from convscope.render.result import Pictured
from convscope.render.text import PAPER, QUIET_INK

TileScale = Literal["own", "shared"]

_MOST_FILTERS = 128
_MOST_ROWS = 16
_MOST_CHANNELS = 32
_GREY = 0.5
_GAP = 24


@dataclass(frozen=True)
class FilterBank:
    """The filters of one convolution: weights `values` (filters, in, rows, columns) as the network holds them.

    `in` is what one filter reads: all channels, or those of its group. Where the convolution is the network's first,
    `in_image` (filters, C, rows, columns) says the same of the image's own channels in [0, 1], before normalization.
    """

    network: str
    layer: str
    values: Tensor
    in_image: Tensor | None

    def picture(self, *, limit: int | None, scale: TileScale) -> Image.Image:
        """Filters that read the image, or one channel only, tile by tile; others a row each, channel by channel."""
        weights = self.values if self.in_image is None else self.in_image
        by_rows = weights.shape[1] > 1 and not (self.in_image is not None and weights.shape[1] == 3)
        shown = weights[: limit or (_MOST_ROWS if by_rows else _MOST_FILTERS), : _MOST_CHANNELS if by_rows else None]
        largest = weights.abs().amax((1, 2, 3))
        reach = [largest.max().item()] * len(shown) if scale == "shared" else largest[: len(shown)].tolist()
        draw = _rows_of_grey if by_rows else _tiles
        return stack(
            title_strip(f"{self.network}, {self.layer}"),
            *(title_strip(note, size=11, colour=QUIET_INK) for note in self._notes(shown, scale)),
            draw(shown, reach),
        )

    def _notes(self, shown: Tensor, scale: TileScale) -> list[str]:
        filters, channels, height, width = self.values.shape
        left_out = []
        if len(shown) < filters:
            left_out.append(f"the first {len(shown)} filters")
        if shown.shape[1] < channels:
            left_out.append(f"the first {shown.shape[1]} channels of each")
        counted = f"{filters} filters, {channels} × {height} × {width}"
        reach = "one scale for all" if scale == "shared" else "each up to its own largest weight"
        return ["; shown: ".join([counted, *([", ".join(left_out)] if left_out else [])]), f"{reach}; mid-grey is 0"]


@dataclass(frozen=True)
class Filters(Pictured):
    """The filters of one convolution each of one network or several: `banks`, in the order asked for.

    `limit` is how many filters of each the picture shows; None shows as many as can be looked at.
    """

    banks: tuple[FilterBank, ...]
    limit: int | None
    recipe: Recipe

    @property
    def values(self) -> Tensor:
        """Weights (filters, in, rows, columns) of the first bank, as its network holds them."""
        return self.banks[0].values

    def picture(self, *, scale: TileScale = "own") -> Image.Image:
        """All banks from left to right, about mid-grey: each filter up to its own largest weight, or all on one scale.

        Raises `ConvscopeError` for another `scale` than "own" and "shared".
        """
        if scale not in get_args(TileScale):
            raise ConvscopeError(f"no scale {scale!r}; {nearest(scale, get_args(TileScale))}")
        return _beside([bank.picture(limit=self.limit, scale=scale) for bank in self.banks])


def filters(networks: Network | Sequence[Network], layer: str | None = None, *, limit: int | None = None) -> Filters:
    """Show the weights of a convolution: of `layer`, or of the network's first; of several networks, side by side.

    The first convolution reads the image, so its filters are shown in colour: w' = w · ∂normalize(x)/∂x, taken at
    mid-grey, is what they weigh the image's own red, green and blue with, whatever order and scale the network is fed.
    Later filters read channels that have no colour: each is a row of grey tiles, one a channel. They say little by
    themselves, since what a channel stands for is not in the picture (Zeiler and Fergus, "Visualizing and
    understanding convolutional networks", 2014, look at what excites it instead). `limit` is how many filters to show.

    Raises `LayerError` for a layer without two-dimensional filters, naming the nearest with them.

    >>> from torch import nn
    >>> net = Network(nn.Sequential(nn.Conv2d(3, 8, 5), nn.ReLU(), nn.Conv2d(8, 4, 3)), input_size=16)
    >>> filters(net).values.shape, filters(net, "2").values.shape
    (torch.Size([8, 3, 5, 5]), torch.Size([4, 8, 3, 3]))
    """
    several = [networks] if isinstance(networks, Network) else list(networks)
    if not several:
        raise ConvscopeError("filters of no network; expected one at least")
    if limit is not None and limit < 1:
        raise ConvscopeError(f"limit={limit} filters; expected 1 at least")
    banks = tuple(_bank(network, layer) for network in several)
    # A recipe has one network; what stands beside it is a parameter.
    beside = [{"network": each.name, "weights": each.weights_sha256} for each in several[1:]]
    recipe = several[0].recipe("filters", {"layer": layer, "limit": limit, "beside": beside})
    return Filters(banks, limit, recipe)


def _bank(network: Network, name: str | None) -> FilterBank:
    convolutions = {each.name: weights for each in network.layers.values() if (weights := _weights(each)) is not None}
    if not convolutions:
        raise LayerError(f"{network.name} has no layer with two-dimensional filters; expected a convolution")
    first = next(iter(convolutions))
    name = first if name is None else name
    asked = network.layers[name]
    if asked.name not in convolutions:
        within = [each for each in convolutions if each.startswith(f"{name}.")]
        raise LayerError(
            f"layer {name!r} ({asked.kind}) has no two-dimensional filters; expected a convolution, "
            f"{nearest(name, within or convolutions)}"
        )
    weights = convolutions[asked.name]
    reads_image = asked.name == first
    return FilterBank(network.name, asked.name, weights, _in_image(network, weights) if reads_image else None)


def _weights(layer: Layer) -> Tensor | None:
    """A layer's filters (filters, in, rows, columns), if it has such."""
    if layer.weight is None or layer.weight.dim() != 4:
        return None
    # A transposed convolution's are stored by input; with groups, only a group's outputs are told apart.
    return layer.weight.transpose(0, 1) if layer.kind.startswith("transposed") else layer.weight


def _in_image(network: Network, weights: Tensor) -> Tensor | None:
    """What filters on the normalized image weigh the image itself with; None where they don't read all of it."""
    slopes = _normalization_slopes(network)
    if weights.shape[1] != slopes.shape[0]:
        return None
    return torch.einsum("oirc,im->omrc", weights.to(slopes), slopes)


def _normalization_slopes(network: Network) -> Tensor:
    """How each channel that the network is fed changes with each channel of the image: (fed, C), at mid-grey."""
    with torch.inference_mode(False), torch.enable_grad():
        grey = torch.full((1, network.channels, *network.input_size), _GREY, requires_grad=True)
        fed = network.normalize(grey.to(network.device, network.dtype))
        row, column = fed.shape[2] // 2, fed.shape[3] // 2
        slopes = [torch.autograd.grad(channel[row, column], grey, retain_graph=True)[0] for channel in fed[0]]
    return torch.stack([each[0].sum((1, 2)) for each in slopes])


def _tiles(weights: Tensor, reach: Sequence[float]) -> Image.Image:
    tiles = [tile(each, largest=largest) for each, largest in zip(weights, reach, strict=True)]
    side = tile_side([weights])
    return lay_out([each.resize((side, side), Image.Resampling.NEAREST) for each in tiles])


def _rows_of_grey(weights: Tensor, reach: Sequence[float]) -> Image.Image:
    lines = [
        (str(index), [tile(channel[None], largest=largest) for channel in each])
        for index, (each, largest) in enumerate(zip(weights, reach, strict=True))
    ]
    return rows(lines, cell=min(tile_side([weights]), 24))


def _beside(pictures: Sequence[Image.Image]) -> Image.Image:
    width = sum(each.width for each in pictures) + _GAP * (len(pictures) - 1)
    sheet = Image.new("RGB", (width, max(each.height for each in pictures)), PAPER)
    x = 0
    for each in pictures:
        sheet.paste(each, (x, 0))
        x += each.width + _GAP
    return sheet
