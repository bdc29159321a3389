"""What each channel of a layer usually does, over all images of a scan."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from PIL import Image

from convscope.errors import ConvscopeError, LayerError, RecipeError, nearest
from convscope.image.recipe import Recipe
from convscope.render.curves import Curve, curves
from convscope.render.grid import grid
from convscope.render.result import Pictured
from convscope.render.text import number
from convscope.scanning.selectivity import Selectivity, selectivity
from convscope.scanning.summary import EDGES, Statistics

if TYPE_CHECKING:
    from convscope.scanning.stored import Scan

State = Literal["", "dead", "saturated"]
Column = Literal["channel", "mean", "spread", "largest", "share", "selectivity"]

_RESTING_AT_0 = frozenset(
    "relu relu6 leaky_relu elu selu celu gelu silu mish hardswish prelu rrelu threshold clamp hardtanh".split()
)
_BLOCKS = " ▁▂▃▄▅▆▇█"
_SPARK = 16
_ZERO = len(EDGES) // 2 - 1
_TICKS = (1.0, 10.0, 0.1, 100.0, 0.01, 1000.0)
_TICK_ROOM = 28


@dataclass(frozen=True)
class Unit:
    """One channel, over images; its value in an image is the largest of its map there.

    `mean`, `spread` (standard deviation), `least` and `largest` are of that value; `share` is that of the images in
    which it is above 0. `histogram` counts images in the bins of `summary.EDGES`. `selectivity` is for the class that
    it `prefers`, `chance` what it would be for labels dealt out anew; None without labels. `shifted` says that it
    counts from the channel's least code, which is below 0. `state` is "dead" where it never leaves its rest,
    "saturated" where it is at its top in every image.
    """

    channel: int
    mean: float
    spread: float
    least: float
    largest: float
    share: float
    selectivity: float | None
    chance: float | None
    prefers: str | None
    shifted: bool
    state: State
    histogram: tuple[int, ...]


@dataclass(frozen=True)
class Units(Pictured):
    """The channels of one layer over `images` images, by number; `notes` say how to read the numbers."""

    layer: str
    images: int
    rows: tuple[Unit, ...]
    notes: tuple[str, ...]
    recipe: Recipe

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, channel: int) -> Unit:
        return self.rows[channel]

    @property
    def dead(self) -> tuple[int, ...]:
        """Channels that never leave their rest."""
        return tuple(each.channel for each in self.rows if each.state == "dead")

    @property
    def saturated(self) -> tuple[int, ...]:
        """Channels that are at their top in every image."""
        return tuple(each.channel for each in self.rows if each.state == "saturated")

    def sorted(self, by: Column = "channel") -> tuple[Unit, ...]:
        """All by one column, the largest first but for the channel's own number; what is unknown comes last."""
        if by not in get_args(Column):
            raise ConvscopeError(f"can't sort by {by!r}; {nearest(str(by), get_args(Column))}")
        if by == "channel":
            return self.rows
        values = {each.channel: getattr(each, by) for each in self.rows}
        return tuple(
            sorted(self.rows, key=lambda each: -np.inf if values[each.channel] is None else -values[each.channel])
        )

    def picture(
        self,
        *,
        channels: Sequence[int] | None = None,
        sort: Column = "spread",
        limit: int = 24,
        size: tuple[int, int] = (110, 190),
    ) -> Image.Image:
        """A histogram of each of the `channels`, or of the first `limit` in an order; `size` (height, width) each.

        Raises LayerError for a channel that the layer has not.
        """
        shown = self.sorted(sort)[:limit] if channels is None else tuple(self._row(each) for each in channels)
        low, high = self._occupied(shown)
        charts = [_chart(each, self.images, low, high, size) for each in shown]
        return grid(charts, title=f"{self.layer}: strongest answer to each of {self.images:,} images")

    def table(self, *, sort: Column = "channel", limit: int | None = None) -> str:
        """As text, a line a channel; of at most `limit`."""
        shown = self.sorted(sort)[:limit]
        low, high = self._occupied(self.rows)
        head = ("channel", "mean", "spread", "largest", "above 0", "histogram", "selectivity", "prefers", "")
        cells = [head, *(_cells(each, low, high) for each in shown)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        left = (5, 7, 8)
        lines = [
            "  ".join(
                cell.ljust(width) if at in left else cell.rjust(width)
                for at, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in cells
        ]
        return "\n".join([*(line.rstrip() for line in lines), "", *self._sentences(len(shown), low, high)])

    def to_json(self) -> str:
        """All of it for other programs."""
        rows = [vars(each) for each in self.rows]
        whole: dict[str, Any] = {
            "layer": self.layer,
            "images": self.images,
            # JSON has no infinity: the first and last bin are open.
            "edges": [float(each) for each in EDGES[1:-1]],
            "channels": rows,
            "notes": self.notes,
        }
        return json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False)

    def __str__(self) -> str:
        return self.table()

    def _row(self, channel: int) -> Unit:
        if not 0 <= channel < len(self.rows):
            raise LayerError(f"got channel {channel}, and {self.layer} has channels 0 to {len(self.rows) - 1}")
        return self.rows[channel]

    def _occupied(self, rows: Sequence[Unit]) -> tuple[int, int]:
        """The first bin that any of them is in, and the one after the last."""
        found = np.flatnonzero(np.sum([each.histogram for each in rows], axis=0))
        return (int(found[0]), int(found[-1]) + 1) if len(found) else (_ZERO, _ZERO + 1)

    def _sentences(self, shown: int, low: int, high: int) -> list[str]:
        of = "" if shown == len(self.rows) else f", {shown} shown"
        counted = [
            f"{len(found)} {name}" for name, found in (("dead", self.dead), ("saturated", self.saturated)) if found
        ]
        lines = [f"{self.layer}: {len(self.rows)} channels{of}" + "".join(f", {each}" for each in counted)]
        edges = [number(float(np.clip(EDGES[each], EDGES[1], EDGES[-2]))) for each in (low, high)]
        lines.append(
            f"Over {self.images:,} images, of the largest value in each; histograms from {edges[0]} to {edges[1]}."
        )
        return [*lines, *self.notes]


def units(scan: "Scan", layer: str) -> Units:
    """What each channel of a scanned layer usually does, how selective it is for a class, and which are dead.

    A channel's value in an image is its largest over the map. Selectivity is of the codes, its means: see
    `selectivity`. A channel is dead where its value is the same in every image, or never above 0 behind an activation
    that rests there; it is saturated where that one value is the top of the layer, as 6 of a ReLU6.

    Raises LayerError if the layer was not scanned.
    """
    found = scan.layer(layer)
    statistics = scan.statistics(found.name)
    preference = selectivity(scan, found.name)
    states = _states(statistics, _kind(scan, found.name))
    spreads = np.sqrt(statistics.variance)
    rows = tuple(
        Unit(
            channel=channel,
            mean=float(statistics.mean[channel]),
            spread=float(spreads[channel]),
            least=float(statistics.least[channel]),
            largest=float(statistics.greatest[channel]),
            share=float(statistics.positive[channel] / statistics.count),
            **_preference(preference, channel),
            state=states[channel],
            histogram=tuple(statistics.histogram[channel].tolist()),
        )
        for channel in range(found.channels)
    )
    return Units(
        layer=found.name,
        images=statistics.count,
        rows=rows,
        notes=tuple(_notes(preference)),
        recipe=scan.recipe("units", {"layer": found.name}),
    )


def _preference(found: Selectivity | None, channel: int) -> dict[str, Any]:
    if found is None:
        return {"selectivity": None, "chance": None, "prefers": None, "shifted": False}
    return {
        "selectivity": float(found.index[channel]),
        "chance": float(found.chance[channel]),
        "prefers": found.classes[found.preferred[channel]],
        "shifted": bool(found.shifted[channel]),
    }


def _kind(scan: "Scan", layer: str) -> str | None:
    """What the layer is; None where the network can't be had here."""
    try:
        return scan.network.layers[layer].kind
    except (RecipeError, LayerError):
        return None


def _states(statistics: Statistics, kind: str | None) -> list[State]:
    least, greatest = statistics.least, statistics.greatest
    top = greatest.max()
    constant = least == greatest
    # The top is one if channels meet it: otherwise it is but the largest number that was seen.
    saturated = constant & (greatest == top) & (top > 0) & ((greatest == top).sum() > 1)
    dead = constant & ~saturated
    if kind in _RESTING_AT_0:
        dead |= greatest <= 0
    return ["saturated" if at_top else "dead" if rests else "" for at_top, rests in zip(saturated, dead, strict=True)]


def _notes(preference: Selectivity | None) -> list[str]:
    if preference is None:
        return ["No selectivity: the images have no labels, or one alone."]
    notes = [
        f"Selectivity (0 to 1) of codes for one of {len(preference.classes)} classes against the mean of the others; "
        f"for labels dealt out anew it is {preference.chance.mean():.2f} on average."
    ]
    if preference.least_images < 10:
        least = f"{preference.least_images} image" + ("s" if preference.least_images > 1 else "")
        notes.append(f"The smallest class has {least}: what is little above that may be chance.")
    if preference.shifted.any():
        below = int(preference.shifted.sum())
        notes.append(f"{below} channels have codes below 0 (~): theirs counts from their least code, not from 0.")
    return notes


def _cells(unit: Unit, low: int, high: int) -> tuple[str, ...]:
    selective = "" if unit.selectivity is None else f"{unit.selectivity:.2f}" + ("~" if unit.shifted else " ")
    told = (number(unit.mean), number(unit.spread), number(unit.largest), f"{unit.share:.0%}")
    return str(unit.channel), *told, _spark(unit.histogram[low:high]), selective, unit.prefers or "", unit.state


def _spark(counts: Sequence[int]) -> str:
    """A histogram as a line of blocks, at most 16 of them.

    >>> _spark([1, 0, 4])
    '▂ █'
    """
    groups = [group.sum() for group in np.array_split(np.array(counts), min(_SPARK, len(counts)))]
    most = max(1, *groups)
    return "".join(_BLOCKS[int(np.ceil(group / most * (len(_BLOCKS) - 1)))] for group in groups)


def _chart(unit: Unit, images: int, low: int, high: int, size: tuple[int, int]) -> Image.Image:
    """A channel's histogram as steps."""
    shares = np.array(unit.histogram[low:high]) / max(1, images)
    edges = np.arange(low, high + 1).repeat(2)
    heights = np.concatenate([[0.0], shares.repeat(2), [0.0]])
    label = (
        f"{unit.channel}" if unit.selectivity is None else f"{unit.channel}: {unit.prefers} ({unit.selectivity:.2f})"
    )
    label += f", {unit.state}" if unit.state else ""
    ticks = _ticks(low, high, size[1])
    return curves(
        [Curve(label, edges, heights)], size=size, x_range=(low, high), y_range=(0.0, max(float(shares.max()), 1e-9)),
        x_ticks=ticks,
    )  # fmt: skip


def _ticks(low: int, high: int, width: int) -> list[tuple[float, str]]:
    """Where round numbers stand among the bins, as many as there is room for: 0 first, then those near 1."""
    above = [(_ZERO + 1 + 2 * (np.log2(each) + 10), number(each)) for each in _TICKS]
    below = [(2 * _ZERO + 1 - at, f"-{name}") for at, name in above]
    room = _TICK_ROOM * (high - low) / width
    ticks: list[tuple[float, str]] = []
    for at, name in [(_ZERO + 0.5, "0"), *(tick for pair in zip(above, below, strict=True) for tick in pair)]:
        if low <= at <= high and all(abs(at - other) >= room for other, _ in ticks):
            ticks.append((float(at), name))
    return sorted(ticks)
