"""What the layers of a network answer to, from shallow to deep: a plate of chosen channels (L23), a page of all."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING

import torch
from PIL import Image, ImageOps

from convscope.errors import ConvscopeError, RuleMatchedNothing
from convscope.image.recipe import JSON, Recipe
from convscope.network.network import Network
from convscope.network.rules import Rule
from convscope.progress import Steps, Watcher
from convscope.render.grid import lay_out, rows
from convscope.render.legend import captioned
from convscope.render.page import Html, Page, figure, gallery, paragraph
from convscope.render.result import Pictured
from convscope.render.text import PAPER, number
from convscope.scanning.crops import UNSEEN, View
from convscope.scanning.patches import Order, TopPatches, top_patches
from convscope.scanning.tiles import Tile, openings

if TYPE_CHECKING:
    from convscope.scanning.stored import Scan

_ACROSS = 3
_PLATE_CELL = 56
# Two squares side by side on a phone; drawn finer than they are shown, for screens with more pixels.
_PAGE_CELL, _SHOWN_CELL = 72, 54
_QUALITY = 70
_MARGIN = 5
_AT_ONCE = 256
"""Channels of a page whose tiles are held at a time: 256 × 9 of them are 36 MB."""

_SECTION = 100


@dataclass(frozen=True)
class LayerPlate(Pictured):
    """The strongest patches of a few channels of each layer, in the order of the `layers`."""

    layers: tuple[TopPatches, ...]
    recipe: Recipe

    def picture(self) -> Image.Image:
        """Two rows a layer or more: a square of patches for each channel, and below it their projections."""
        table: list[tuple[str, Sequence[Image.Image]]] = []
        for layer in self.layers:
            drawn = layer.tiles(cell=_PLATE_CELL)
            table.append((f"{layer.layer}, {_extent(layer)}", [*map(_captioned, layer.channels, layer.rows, drawn)]))
            table += [(rule, [_apart(_square(each, rule)) for each in drawn]) for rule in layer.projections]
        return rows(table, title=f"{self.recipe.network}: strongest patches from shallow to deep", note=self._note)

    @property
    def _note(self) -> str:
        """What a viewer must know of the tiles, in words."""
        views = [View.of(each.scan.network, each.layer) for each in self.layers]
        told = ["beside each layer how many pixels across a unit sees; grey is what it doesn't see"]
        if any(view.whole and view.has_space for view in views):
            told.append("where that is all of the picture or most of it, a frame marks the unit's place")
        return "\n".join(told)

    def to_json(self) -> str:
        """A list of layers, each as `TopPatches.to_json` has it."""
        return json.dumps([json.loads(each.to_json()) for each in self.layers], indent=2, ensure_ascii=False)


def layer_plate(
    scan: "Scan",
    layers: Sequence[str] | None = None,
    *,
    channels: int = 6,
    projections: Sequence[Rule] = ("guided",),
    smooth: str | None = None,
    order: Order = "selective",
    progress: Watcher | None = None,
) -> LayerPlate:
    """From shallow to deep: the nine strongest patches of a few channels of each layer, and what in them excites those.

    The plate of Zeiler and Fergus (2014), "Visualizing and understanding convolutional networks", figure 2. Where no
    rectifier lies below a layer all rules are the plain gradient, which stands there by its own name.

    Parameters
    ----------
    layers
        By name; by default all that were scanned.
    channels
        So many of each layer, the first in `order` (see `top_patches`).
    projections, smooth
        As for `top_patches`. `deconvnet` shows what is special to a photograph only where the network has max pooling.

    Raises
    ------
    LayerError
        A layer was not scanned.
    ConvscopeError
        `channels`, `order` or a projection is none of the above.
    Cancelled
        `progress` returned False.
    """
    if channels < 1:
        raise ConvscopeError(f"got channels={channels}, expected 1 or more of each layer")
    names = tuple(scan.layer(name).name for name in (scan.layers if layers is None else layers))
    if not names:
        raise ConvscopeError("got no layer, expected one at least, or None for all that were scanned")
    found = [
        top_patches(
            scan, name, projections=_rules(scan.network, name, projections, smooth), smooth=smooth, order=order,
            limit=channels, k=_most(scan),
        )
        for name in names
    ]  # fmt: skip
    steps = Steps(sum(openings(chain.from_iterable(each.rows)) for each in found), progress)
    for each in found:
        each.draw(_PLATE_CELL, steps)
    parameters: dict[str, JSON] = {
        "layers": names, "channels": channels, "projections": tuple(projections), "smooth": smooth, "order": order,
    }  # fmt: skip
    return LayerPlate(tuple(found), scan.recipe("layer_plate", parameters))


def layer_page(
    scan: "Scan",
    layer: str,
    *,
    channel: int | Sequence[int] | None = None,
    projections: Sequence[Rule] = (),
    smooth: str | None = None,
    order: Order = "index",
    limit: int | None = None,
    progress: Watcher | None = None,
) -> Page:
    """All channels of a layer as a page: the strongest patches of each, and in how many images it is active.

    One file that asks for nothing else: some 20 MB for 1,280 channels of nine patches. Options as for `top_patches`.
    Raises as that does.
    """
    options = {"channel": channel, "projections": projections, "smooth": smooth, "order": order, "limit": limit}
    found = top_patches(scan, layer, k=_most(scan), **options)  # type: ignore[arg-type]  # by name, as typed above
    parts = [_part(found, first) for first in range(0, len(found.channels), _AT_ONCE)]
    steps = Steps(sum(openings(chain.from_iterable(each.rows)) for each in parts), progress)
    figures = [each for part in parts for each in _figures(scan, part, steps)]
    page = Page(f"What {found.layer} answers to", lead=f"{found.recipe.network}, {len(scan):,} images")
    page.section("How to read it", *map(paragraph, _explained(found)))
    for first in range(0, len(figures), _SECTION):
        last = min(first + _SECTION, len(figures)) - 1
        numbered = order == "index" and channel is None
        heading = f"Channels {first} to {last}" if numbered else f"The {first + 1}. to the {last + 1}. channel"
        page.section(heading, gallery(*figures[first : last + 1]))
    return page


def _explained(found: TopPatches) -> Iterator[str]:
    beside = f"; beside them their projections by {' and '.join(found.projections)}" if found.projections else ""
    yield f"Of each channel the patches that excite it most, at most one an image, the strongest first{beside}."
    yield "Below them the channel's number, its largest value, and in how many of all images it is above 0 anywhere."
    for line in found.note.splitlines():
        yield f"{line[0].upper()}{line[1:]}."


def _most(scan: "Scan") -> int:
    """Patches that fill a square, or as many as the scan keeps."""
    return min(scan.header.k, _ACROSS**2)


def _rules(network: Network, layer: str, asked: Sequence[Rule], smooth: str | None) -> tuple[Rule, ...]:
    """The rules asked for, or the plain gradient where no rectifier lies below the layer."""
    blank = torch.zeros(network.channels, *network.input_size)
    for rule in asked:
        try:
            network.gradient(blank, layer, rule=rule, smooth=smooth)
        except RuleMatchedNothing:
            return ("gradient",)
    return tuple(asked)


def _part(found: TopPatches, first: int) -> TopPatches:
    chosen = slice(first, first + _AT_ONCE)
    return replace(found, channels=found.channels[chosen], rows=found.rows[chosen], drawn={})


def _figures(scan: "Scan", part: TopPatches, steps: Steps) -> Iterator[Html]:
    """A figure a channel: its square of patches, and beside it the squares of their projections."""
    usual = scan.statistics(part.layer)
    for channel, found, tiles in zip(part.channels, part.rows, part.draw(_PAGE_CELL, steps), strict=True):
        if not tiles:
            yield paragraph(f"{channel}: never active")
            continue
        squares = [_square(tiles, rule) for rule in (None, *part.projections)]
        picture = lay_out(squares, columns=len(squares)) if len(squares) > 1 else squares[0]
        share = usual.positive[channel] / usual.count
        caption = f"{channel}: {number(found[0].value)} · {share:.0%} active"
        yield figure(picture, caption, width=round(picture.width * _SHOWN_CELL / _PAGE_CELL), quality=_QUALITY)


def _square(tiles: Sequence[Tile], rule: Rule | None = None) -> Image.Image:
    """Three by three: photographs, or their projections by a rule."""
    pictures = [each.projections[rule] if rule else each.photograph for each in tiles]
    return lay_out(pictures or [Image.new("RGB", (_PLATE_CELL, _PLATE_CELL), UNSEEN)], columns=_ACROSS)


def _captioned(channel: int, found: Sequence[object], tiles: Sequence[Tile]) -> Image.Image:
    return captioned(_apart(_square(tiles)), [f" channel {channel}" if found else f" channel {channel}: never active"])


def _apart(square: Image.Image) -> Image.Image:
    """With a margin, so that one channel's tiles don't run into the next one's."""
    return ImageOps.expand(square, _MARGIN, PAPER)


def _extent(layer: TopPatches) -> str:
    field = layer.scan.network.layers[layer.layer].direct_field
    return "field unknown" if field is None else "whole image" if field.whole else f"{field} px"
