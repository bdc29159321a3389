"""The patches of photographs that excite a unit most (L10), and what in them does (L22)."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from operator import index
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from PIL import Image

from convscope.errors import ConvscopeError, ImageError, LayerError, nearest
from convscope.image.recipe import JSON, Recipe
from convscope.network.rules import RULES, Rule
from convscope.progress import Steps, Watcher
from convscope.render.grid import rows
from convscope.render.legend import captioned
from convscope.render.result import Pictured
from convscope.render.text import number
from convscope.scanning.crops import UNSEEN, View, placement_of
from convscope.scanning.tiles import Patch, Tile, draw_tiles, openings

if TYPE_CHECKING:
    from convscope.scanning.header import ScannedLayer
    from convscope.scanning.stored import Scan
    from convscope.scanning.summary import Top

Order = Literal["strongest", "selective", "index"]
CELL = 72
"""Pixels of a tile's longer side, unless another number is asked for."""


@dataclass(frozen=True)
class TopPatches(Pictured):
    """The strongest patches of channels of one layer.

    `rows` holds for each of the `channels` its patches, the strongest first: at most one an image, and none where the
    activation is exactly 0, since a rectifier that is shut tells nothing. `note` says how far a unit sees.
    """

    layer: str
    channels: tuple[int, ...]
    rows: tuple[tuple[Patch, ...], ...]
    projections: tuple[Rule, ...]
    note: str
    recipe: Recipe
    scan: "Scan" = field(repr=False, compare=False)
    smooth: str | None = None
    drawn: dict[int, tuple[tuple[Tile, ...], ...]] = field(default_factory=dict, repr=False, compare=False)

    def patches(self, channel: int) -> tuple[Patch, ...]:
        """Those of one channel. Raises LayerError if it is not among the `channels`."""
        if channel not in self.channels:
            shown = ", ".join(map(str, self.channels[:8])) + (", …" if len(self.channels) > 8 else "")
            raise LayerError(f"got channel {channel}, expected one of those asked for: {shown}")
        return self.rows[self.channels.index(channel)]

    def tiles(self, *, cell: int = CELL, progress: Watcher | None = None) -> tuple[tuple[Tile, ...], ...]:
        """Each patch as a picture with its projections, their longer side `cell` pixels; kept for the next time.

        Raises RuleError or RuleMatchedNothing where a projection's rule can't be followed, ImageError for a cell of
        less than one pixel.
        """
        found = openings(patch for row in self.rows for patch in row)
        return self.draw(cell, Steps(found, progress))

    def draw(self, cell: int, steps: Steps) -> tuple[tuple[Tile, ...], ...]:
        """The same, as one part of longer work; `steps` are told of each photograph."""
        if cell < 1:
            raise ImageError(f"got cell={cell}, expected the pixels of a tile's longer side, 1 or more")
        if cell not in self.drawn:
            flat = [patch for row in self.rows for patch in row]
            rules, smooth = self.projections, self.smooth
            tiles = iter(
                draw_tiles(self.scan, self.layer, flat, projections=rules, smooth=smooth, cell=cell, steps=steps)
            )
            self.drawn[cell] = tuple(tuple(next(tiles) for _ in row) for row in self.rows)
        return self.drawn[cell]

    def picture(self, *, cell: int = CELL, values: bool = False) -> Image.Image:
        """A row a channel, and below it a row a projection; `values` writes the activations below the patches."""
        table: list[tuple[str, Sequence[Image.Image]]] = []
        for channel, found, tiles in zip(self.channels, self.rows, self.tiles(cell=cell), strict=True):
            if not tiles:
                table.append((f"{channel}: never active", [Image.new("RGB", (cell, cell), UNSEEN)]))
                continue
            photographs = [each.photograph for each in tiles]
            if values:
                told = [[number(each.value)] for each in found]
                photographs = [captioned(*each) for each in zip(photographs, told, strict=True)]
            table.append((f"{channel}: {number(found[0].value)}", photographs))
            table += [(rule, [each.projections[rule] for each in tiles]) for rule in self.projections]
        return rows(table, title=f"{self.layer}: strongest patches", note=self.note)

    def to_json(self) -> str:
        """All patches, for other programs."""
        rows = zip(self.channels, self.rows, strict=True)
        channels = [{"channel": channel, "patches": [_json(each) for each in found]} for channel, found in rows]
        whole = {"layer": self.layer, "note": self.note, "channels": channels}
        return json.dumps(whole, indent=2, ensure_ascii=False)

    def __str__(self) -> str:
        lines = [f"{self.layer}: {self.note}"]
        for channel, found in zip(self.channels, self.rows, strict=True):
            lines.append(f"channel {channel}" + ("" if found else ": never active"))
            lines += [f"  {number(each.value):>9}  {each.path} @ {_told(each)}" for each in found]
        return "\n".join(lines)


def top_patches(
    scan: "Scan",
    layer: str,
    *,
    channel: int | Sequence[int] | None = None,
    k: int | None = None,
    projections: Sequence[Rule] = (),
    smooth: str | None = None,
    order: Order = "strongest",
    limit: int | None = 24,
) -> TopPatches:
    """What excites the channels of a layer most, of all that was scanned: the patches that their strongest units see.

    Zeiler and Fergus (2014) show the nine strongest of a channel, cropped to the unit's receptive field, beside their
    projections to the pixels by `deconvnet`; Springenberg et al. (2014) those by `guided`.

    Parameters
    ----------
    channel
        One channel, or several in the order in which they are to be shown. None for all, in `order`, up to `limit`.
    k
        Patches a channel, at most as many as the scan keeps, which is the default.
    projections
        "gradient", "guided", "deconvnet": rules by which each patch's activation is passed back to the pixels.
    smooth
        As for `Network.gradient`, for networks with nonlinearities that are no rectifiers.
    order
        "strongest": the channels whose strongest value is largest first; "selective": those first whose strongest value
        is most standard deviations above what the channel's maximum over an image is on average; "index": by number.
    limit
        At most so many channels where none are named; None for no limit.

    Raises
    ------
    LayerError
        The scan has no such layer, or the layer no such channel.
    ConvscopeError
        `k`, `limit`, `order` or a projection is none of the above.
    """
    scanned = scan.layer(layer)
    _check_count("limit", limit, "1 or more channels, or None for all")
    kept = scan.header.k
    _check_count("k", k, f"1 to {kept}, what the scan keeps of each channel", kept)
    for rule in projections:
        if rule not in RULES:
            raise ConvscopeError(f"no projection {rule!r}; {nearest(str(rule), RULES)}")
    channels = _channels(scan, scanned, channel, order, limit)
    view = View.of(scan.network, scanned.name)
    parameters: dict[str, JSON] = {
        "layer": scanned.name, "channel": channels, "k": k or kept, "projections": tuple(projections), "smooth": smooth,
    }  # fmt: skip
    top = scan.top(scanned.name)
    found = tuple(_patches(scan, view, top, each, k or kept) for each in channels)
    return TopPatches(
        layer=scanned.name,
        channels=channels,
        rows=found,
        projections=tuple(projections),
        note=_note(view, found),
        recipe=scan.recipe("top_patches", parameters),
        scan=scan,
        smooth=smooth,
    )


def _check_count(name: str, count: int | None, expected: str, most: float = float("inf")) -> None:
    if count is not None and not 1 <= count <= most:
        raise ConvscopeError(f"got {name}={count}, expected {expected}")


def _channels(
    scan: "Scan", layer: "ScannedLayer", channel: int | Sequence[int] | None, order: Order, limit: int | None
) -> tuple[int, ...]:
    """Those asked for, or all in order."""
    if order not in get_args(Order):
        raise ConvscopeError(f"no order {order!r}; {nearest(str(order), get_args(Order))}")
    if channel is None:
        return tuple(ranked(scan, layer.name, order)[:limit])
    asked = [int(each) for each in channel] if isinstance(channel, Sequence) else [index(channel)]
    for each in asked:
        if not 0 <= each < layer.channels:
            raise LayerError(f"got channel {each}, and {layer.name} has channels 0 to {layer.channels - 1}")
    if not asked:
        raise LayerError(f"got no channel of {layer.name}, expected one at least, or None for all")
    return tuple(dict.fromkeys(asked))


def ranked(scan: "Scan", layer: str, order: Order) -> list[int]:
    """All channels of a layer in an order; ties by number."""
    strongest = scan.top(layer).values[:, 0].astype(np.float64)
    if order == "index":
        return list(range(len(strongest)))
    if order == "selective":
        usual = scan.statistics(layer)
        spread = np.sqrt(np.maximum(usual.variance, 0))
        strongest = np.divide(strongest - usual.mean, spread, out=np.full_like(strongest, -np.inf), where=spread > 0)
    return [int(each) for each in np.argsort(-strongest, kind="stable")]


def _patches(scan: "Scan", view: View, top: "Top", channel: int, k: int) -> tuple[Patch, ...]:
    found = []
    for value, image, (row, column) in zip(
        top.values[channel, :k].tolist(),
        top.images[channel, :k].tolist(),
        top.places[channel, :k].tolist(),
        strict=True,
    ):
        if image < 0 or value == 0:
            continue
        at = scan.images.row(image)
        height, width = scan.images.sizes[at].tolist()
        box = placement_of(scan.network, (height, width)).original_box(view.seen(row, column))
        removed = bool(scan.images.removed[at])
        found.append(Patch(channel, image, scan.where(image), value, (row, column), box, removed))
    return tuple(found)


def _note(view: View, found: Sequence[Sequence[Patch]]) -> str:
    """What a viewer must know of these patches, a line each."""
    level = sum(len(row) > 1 and row[0].value == row[-1].value for row in found)
    if not level:
        return view.note
    return (
        f"{view.note}\n{level} of {len(found)} channels have the same value in all of these, as at a rectifier's "
        "ceiling: the layer before it can rank them"
    )


def _json(patch: Patch) -> dict[str, JSON]:
    return {name: value for name, value in asdict(patch).items() if name != "channel"}


def _told(patch: Patch) -> str:
    top, left, bottom, right = patch.box
    return f"rows {top} to {bottom - 1}, columns {left} to {right - 1}" + (" (gone)" if patch.removed else "")
