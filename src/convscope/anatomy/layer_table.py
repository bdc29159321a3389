"""The layer table: what a network is made of, layer by layer."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from convscope.network.layers import Layer
from convscope.network.network import Network
from convscope.render.page import Html, table


@dataclass(frozen=True)
class LayerTable:
    """The layers of a network in order, with its totals.

    `parameters` and `multiply_adds` (for one image of the input size, convolutions and matrix products) are sums over
    the rows; `total_parameters` counts the module's own, which differs where some are never used.
    """

    network: str
    input_shape: tuple[int, int, int]
    rows: tuple[Layer, ...]
    total_parameters: int
    notes: tuple[str, ...] = ()

    COLUMNS = (
        "layer",
        "kind",
        "output",
        "kernel",
        "stride",
        "parameters",
        "multiply-adds",
        "receptive field",
        "step",
        "start",
    )

    @property
    def parameters(self) -> int:
        """Sum over the rows."""
        return sum(row.parameters for row in self.rows)

    @property
    def multiply_adds(self) -> int:
        """Sum over the rows, for one image."""
        return sum(row.multiply_adds for row in self.rows)

    def cells(self) -> list[tuple[str, ...]]:
        """The table as text, a tuple a layer, in the order of `COLUMNS`."""
        return [_cells(row) for row in self.rows]

    def to_json(self) -> str:
        """The table as JSON, for other programs."""
        rows = [dict(zip(_KEYS, _values(row), strict=True)) for row in self.rows]
        totals = {"parameters": self.total_parameters, "multiply_adds": self.multiply_adds}
        whole = {"network": self.network, "input": self.input_shape, **totals, "notes": self.notes, "layers": rows}
        return json.dumps(whole, indent=2)

    def __str__(self) -> str:
        lines = [self.COLUMNS, *self.cells()]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.COLUMNS))]
        text = ["  ".join(_aligned(cell, widths[at], at) for at, cell in enumerate(line)).rstrip() for line in lines]
        return "\n".join([*text, self.summary])

    @property
    def summary(self) -> str:
        """The totals in a line."""
        channels, rows, columns = self.input_shape
        layers = "layer" if len(self.rows) == 1 else "layers"
        return (
            f"{self.network}: {len(self.rows)} {layers}, {self.total_parameters:,} parameters, "
            f"{self.multiply_adds:,} multiply-adds for an image of {channels}×{rows}×{columns}"
        )

    def html(self) -> Html:
        """The table for a page."""
        return table(self.COLUMNS, self.cells())

    def _repr_html_(self) -> str:
        return self.html().text


def layer_table(network: Network, layers: Sequence[str] | None = None) -> LayerTable:
    """Every layer's kind, output shape, kernel, stride, parameters, multiply-adds and receptive field.

    `layers` names those wanted; all by default. Raises LayerError for one that isn't there.

    >>> import convscope as cs
    >>> print(layer_table(cs.load("efficientnet-lite0"), ["stem.conv"]))
    layer      kind         output      kernel  stride  parameters  multiply-adds  receptive field  step  start
    stem.conv  convolution  32×112×112  3×3          2         864     10,838,016                3     2      0
    efficientnet-lite0: 1 layer, 4,652,008 parameters, 10,838,016 multiply-adds for an image of 3×224×224
    """
    known = network.layers
    rows = tuple(known[name] for name in (known if layers is None else layers))
    total = sum(parameter.numel() for parameter in network.module.parameters())
    return LayerTable(network.name, (network.channels, *network.input_size), rows, total, network.notes)


_KEYS = (
    "name", "kind", "shape", "kernel", "stride", "parameters", "multiply_adds",
    "receptive_field", "receptive_field_stride", "receptive_field_start",
)  # fmt: skip


def _values(row: Layer) -> tuple[Any, ...]:
    field = row.receptive_field
    placed: tuple[Any, ...] = (None, None, None)
    if field is not None:
        sizes = (field.size, field.stride, field.start)
        placed = ("whole image", None, None) if field.whole else tuple([float(each) for each in pair] for pair in sizes)
    return row.name, row.kind, row.shape, row.kernel, row.stride, row.parameters, row.multiply_adds, *placed


def _cells(row: Layer) -> tuple[str, ...]:
    field = row.receptive_field
    placed = ("", "", "")
    if field is not None:
        placed = (str(field), "", "") if field.whole else (str(field), _pair(field.stride), _pair(field.start))
    return (
        row.name,
        row.kind,
        "×".join(map(str, row.shape)),
        "×".join(map(str, row.kernel)) if row.kernel else "",
        _pair(row.stride) if row.stride else "",
        f"{row.parameters:,}" if row.parameters else "",
        f"{row.multiply_adds:,}" if row.multiply_adds else "",
        *placed,
    )


def _pair(pair: tuple[Any, Any]) -> str:
    return str(pair[0]) if pair[0] == pair[1] else f"{pair[0]}, {pair[1]}"


def _aligned(cell: str, width: int, column: int) -> str:
    return cell.ljust(width) if column < 4 else cell.rjust(width)
