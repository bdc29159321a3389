"""Patches: the changed rectangles of a layer for a batch of windows, and what lies around them.

All windows of a batch have rectangles of one size a layer, each with corners of its own: the largest that any of them
needs, moved inward where it would leave the map. What is in a rectangle beyond what changes has its clean value.

A map's clean values, a place of padding and the patches of all windows lie one below another as rows of channels.
Whatever an operation reads around the patches is then one `index_select`: a table says which rows each window sees.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from convscope.attribution.spread import Indices, Spread
from convscope.network.trace import Ref

# The first rows of every table of places: what padding reads as.
_ZERO, _LOWEST, _PADDINGS = 0, 1, 2


@dataclass(frozen=True)
class Span:
    """Along one axis, for each window, `count` places from its own `start` `(B,)` on; some may lie outside the map."""

    start: Tensor
    count: int

    def places(self) -> Tensor:
        """All of them, `(B, count)`."""
        return self.start[:, None] + torch.arange(self.count, device=self.start.device)

    def within(self, other: "Span") -> bool:
        """Whether the two are the same."""
        return self.count == other.count and bool((self.start == other.start).all())


Rectangle = tuple[Span, Span]


@dataclass(frozen=True)
class Batch:
    """Windows that are computed together: by their rows' and columns' numbers `(B,)`.

    `row_group` and `column_group` are all those that share the sizes of the rectangles with them.
    """

    rows: Indices
    columns: Indices
    row_group: Indices
    column_group: Indices

    def __len__(self) -> int:
        return len(self.rows)


class Clean:
    """The clean values of a network's maps, as tables of places with room for the patches of a batch."""

    def __init__(self, values: Mapping[Ref, Tensor]) -> None:
        self.values = values
        self._tables: dict[Ref, Tensor] = {}

    def table(self, ref: Ref, extra: int) -> tuple[Tensor, int]:
        """The rows of a map's channels, `(2 + H·W + extra, C)` at least, and where the extra ones begin."""
        values = self.values[ref]
        _, channels, rows, columns = values.shape
        begin = _PADDINGS + rows * columns
        table = self._tables.get(ref)
        if table is None or len(table) < begin + extra:
            table = self._tables[ref] = values.new_empty(begin + extra, channels)
            table[_ZERO] = 0
            table[_LOWEST] = -math.inf if values.dtype.is_floating_point else 0
            table[_PADDINGS:begin].view(rows, columns, channels).copy_(values[0].permute(1, 2, 0))
        return table, begin


@dataclass
class Patches:
    """The patches of a batch so far: for each value that changes, `(B, C, height, width)` channels last."""

    batch: Batch
    clean: Clean
    spreads: Mapping[Ref, Spread]
    made: dict[Ref, Tensor] = field(default_factory=dict)
    _rectangles: dict[Spread, Rectangle] = field(default_factory=dict)
    _tabled: set[Ref] = field(default_factory=set)

    def rectangle(self, spread: Spread) -> Rectangle:
        """Where the patches of a map with this spread lie."""
        if spread not in self._rectangles:
            self._rectangles[spread] = self._placed(spread)
        return self._rectangles[spread]

    def _placed(self, spread: Spread) -> Rectangle:
        if spread.base is not None:
            rows, columns = self.rectangle(spread.base)
            down, across = spread.shift
            return Span(rows.start + down, rows.count), Span(columns.start + across, columns.count)
        batch = self.batch
        return (
            self._span(spread.rows.first, spread.rows.size, spread.rows.length, batch.row_group, batch.rows),
            self._span(
                spread.columns.first, spread.columns.size, spread.columns.length, batch.column_group, batch.columns
            ),
        )

    def _span(self, first: Indices, size: Indices, length: int, group: Indices, chosen: Indices) -> Span:
        count = max(1, int(size[group].max()))
        return Span(torch.from_numpy(np.clip(first[chosen], 0, length - count)), count)

    def covers(self, ref: Ref) -> bool:
        """Whether the patches are whole maps."""
        rows, columns = self.rectangle(self.spreads[ref])
        return (rows.count, columns.count) == self.spreads[ref].shape

    def start(self, ref: Ref, covered: Tensor) -> None:
        """Begin with the image: `covered` `(1 or B, C, H, W)` within each window, as it is in the rest of its patch."""
        spread = self.spreads[ref]
        rectangle = self.rectangle(spread)
        table, begin = self.clean.table(ref, covered.shape[0] * math.prod(covered.shape[2:]))
        extra = table[begin : begin + covered.shape[0] * math.prod(covered.shape[2:])]
        extra.view(covered.shape[0], *covered.shape[2:], -1).copy_(covered.permute(0, 2, 3, 1))
        lengths, inside = spread.shape, []
        chosen = ((spread.rows, self.batch.rows), (spread.columns, self.batch.columns))
        for span, (track, numbers) in zip(rectangle, chosen, strict=True):
            first, last = (torch.from_numpy(each[numbers])[:, None] for each in (track.first, track.last))
            places = span.places()
            inside.append((places >= first) & (places <= last))
        place = _crossed(rectangle[0].places() * lengths[1], rectangle[1].places())
        each = torch.arange(len(self.batch))[:, None, None] * (math.prod(lengths) if len(covered) > 1 else 0)
        index = torch.where(inside[0][:, :, None] & inside[1][:, None], begin + each + place, _PADDINGS + place)
        self.made[ref] = _selected(table, index)

    def around(self, ref: Ref, rows: Span, columns: Span, *, lowest: bool = False) -> Tensor:
        """What a map holds in a rectangle of each window's own, `(B, C, rows, columns)`: its patch, clean around it.

        Outside the map it is 0, or the lowest number.
        """
        height, width = self.spreads[ref].shape
        own_rows, own_columns = self.rectangle(self.spreads[ref])
        size = own_rows.count * own_columns.count
        table, begin = self.clean.table(ref, len(self.batch) * size)
        if ref not in self._tabled:
            extra = table[begin : begin + len(self.batch) * size]
            extra.view(len(self.batch), own_rows.count, own_columns.count, -1).copy_(self.made[ref].permute(0, 2, 3, 1))
            self._tabled.add(ref)
        down, across = rows.places(), columns.places()
        down_in, across_in = down - own_rows.start[:, None], across - own_columns.start[:, None]
        inside = _both((down_in >= 0) & (down_in < own_rows.count), (across_in >= 0) & (across_in < own_columns.count))
        each = begin + size * torch.arange(len(self.batch))[:, None]
        patch = _crossed(each + down_in * own_columns.count, across_in)
        index = torch.where(inside, patch, _crossed(_PADDINGS + down * width, across))
        outside = (down < 0) | (down >= height), (across < 0) | (across >= width)
        if outside[0].any() or outside[1].any():
            index.masked_fill_(outside[0][:, :, None] | outside[1][:, None], _LOWEST if lowest else _ZERO)
        return _selected(table, index)

    def over(self, ref: Ref, spread: Spread) -> Tensor:
        """A value's patches grown to the rectangle of a larger spread."""
        rectangle = self.rectangle(spread)
        own = self.rectangle(self.spreads[ref])
        if self.spreads[ref] is spread or (own[0].within(rectangle[0]) and own[1].within(rectangle[1])):
            return self.made[ref]
        return self.around(ref, *rectangle)

    def untouched(self, ref: Ref) -> Tensor:
        """The clean values where the patches lie."""
        rows, columns = self.rectangle(self.spreads[ref])
        return self.at(self.clean.table(ref, 0)[0], rows, columns, self.spreads[ref].shape[1])

    def at(self, table: Tensor, rows: Span, columns: Span, width: int) -> Tensor:
        """The places of a table of a clean map `width` wide that lie in each window's rectangle."""
        return _selected(table, _crossed(_PADDINGS + rows.places() * width, columns.places()))

    def whole(self, ref: Ref) -> Tensor:
        """A value as whole maps `(B, C, H, W)`: the clean one with each window's patch in it."""
        if self.covers(ref):
            return self.made[ref]
        zero = torch.zeros(len(self.batch), dtype=torch.int64)
        height, width = self.spreads[ref].shape
        return self.around(ref, Span(zero, height), Span(zero, width))

    def forget(self, node: int) -> None:
        """Let go of the patches of a node."""
        for ref in [each for each in self.made if each.node == node]:
            del self.made[ref]
            self._tabled.discard(ref)


def _crossed(down: Tensor, across: Tensor) -> Tensor:
    """Sums of every row's and every column's number, `(B, rows, columns)`."""
    return down[:, :, None] + across[:, None]


def _both(down: Tensor, across: Tensor) -> Tensor:
    return down[:, :, None] & across[:, None]


def _selected(table: Tensor, index: Tensor) -> Tensor:
    """Rows of channels `(B, rows, columns)` of a table as `(B, C, rows, columns)`, channels last."""
    picked = table.index_select(0, index.flatten().to(table.device))
    return picked.view(*index.shape, -1).permute(0, 3, 1, 2)
