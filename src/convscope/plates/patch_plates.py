"""What the layers of a network answer to, from shallow to deep: a plate of chosen channels (L23), a page of all."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING

from PIL import Image

from convscope.errors import ConvscopeError, RuleMatchedNothing
from convscope.image.recipe import Recipe
from convscope.network.rules import Rule
from convscope.progress import Steps, Watcher
from convscope.render.grid import lay_out, rows
from convscope.render.legend import captioned
from convscope.render.page import Html, Page, figure, gallery, paragraph
from convscope.render.result import Pictured
from convscope.render.text import number
from convscope.scanning.crops import UNSEEN
from convscope.scanning.patches import Order, TopPatches, top_patches
from convscope.scanning.tiles import Tile, openings

if TYPE_CHECKING:
    from convscope.scanning.stored import Scan

_ACROSS = 3
_PLATE_CELL = 56
_PAGE_CELL, _SHOWN_CELL = 84, 56
_QUALITY = 75
_AT_ONCE = 256
"""Channels of a page whose tiles are held at a time: 256 × 9 of them are 50 MB."""
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
            table += [(rule, [_square(each, rule) for each in drawn]) for rule in layer.projections]
        return rows(table)


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
    options = {"projections": tuple(projections), "smooth": smooth, "order": order}
    found = [top_patches(scan, name, limit=channels, k=_most(scan), **options) for name in names]  # type: ignore[arg-type]  # by name, as typed above
    steps = Steps(sum(openings(chain.from_iterable(each.rows)) for each in found), progress)
    drawn = tuple(_drawn(each, steps) for each in found)
    return LayerPlate(drawn, scan.recipe("layer_plate", {"layers": names, "channels": channels, **options}))


def layer_page(
    scan: "Scan",
    layer: str,
    *,
    projections: Sequence[Rule] = (),
    smooth: str | None = None,
    order: Order = "index",
    progress: Watcher | None = None,
) -> Page:
    """All channels of a layer as a page: the strongest patches of each, and in how many images it is active.

    One file, 1,280 channels of nine patches some 15 MB; options as for `top_patches`. Raises as that does.
    """
    found = top_patches(scan, layer, projections=projections, smooth=smooth, order=order, limit=None, k=_most(scan))
    page = Page(f"What {found.layer} answers to", lead=f"{found.recipe.network}, {len(scan):,} images")
    parts = [_part(found, first, _AT_ONCE) for first in range(0, len(found.channels), _AT_ONCE)]
    steps = Steps(sum(openings(chain.from_iterable(each.rows)) for each in parts), progress)
    figures = [each for part in parts for each in _figures(scan, part, steps)]
    said = f"Nine patches a channel, the strongest first; {found.note.replace(chr(10), '. ')}."
    page.section("How to read it", paragraph(said))
    for first in range(0, len(figures), _SECTION):
        last = min(first + _SECTION, len(figures)) - 1
        heading = (
            f"Channels {first} to {last}" if order == "index" else f"{order.capitalize()}, {first + 1} to {last + 1}"
        )
        page.section(heading, gallery(*figures[first : last + 1]))
    return page


def _most(scan: "Scan") -> int:
    """Patches that fill a square, or as many as the scan keeps."""
    return min(scan.header.k, _ACROSS**2)


def _drawn(found: TopPatches, steps: Steps) -> TopPatches:
    """The same with its tiles drawn, by plain gradients where no rectifier lies below the layer."""
    try:
        found.draw(_PLATE_CELL, steps)
    except RuleMatchedNothing:
        found = replace(found, projections=("gradient",), drawn={})
        found.draw(_PLATE_CELL, steps)
    return found


def _part(found: TopPatches, first: int, count: int) -> TopPatches:
    chosen = slice(first, first + count)
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
        caption = f"{channel}: up to {number(found[0].value)}, above 0 in {share:.0%}"
        yield figure(picture, caption, width=round(picture.width * _SHOWN_CELL / _PAGE_CELL), quality=_QUALITY)


def _square(tiles: Sequence[Tile], rule: Rule | None = None) -> Image.Image:
    """Three by three: photographs, or their projections by a rule."""
    pictures = [each.projections[rule] if rule else each.photograph for each in tiles]
    return lay_out(pictures or [Image.new("RGB", (_PLATE_CELL, _PLATE_CELL), UNSEEN)], columns=_ACROSS)


def _captioned(channel: int, found: Sequence[object], tiles: Sequence[Tile]) -> Image.Image:
    return captioned(_square(tiles), [f"channel {channel}" if found else f"channel {channel}: never active"])


def _extent(layer: TopPatches) -> str:
    field = layer.scan.network.layers[layer.layer].receptive_field
    return "field unknown" if field is None else "whole image" if field.whole else f"{field} px"
