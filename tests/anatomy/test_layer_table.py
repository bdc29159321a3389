"""The layer table: its totals, its three forms, and what it says of networks that can't be traced."""

import json
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import convscope as cs
from convscope.errors import LayerError


@pytest.fixture
def upright() -> cs.Network:
    """Every kind of cell: unequal sides, fractional steps, no kernel, no space."""
    module = nn.Sequential(
        nn.Conv2d(3, 6, (3, 5), stride=(2, 1)), nn.ReLU(), nn.ConvTranspose2d(6, 2, 2, 2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3),
    )  # fmt: skip
    return cs.Network(module, input_size=(16, 24), name="upright")


def test_known_totals_of_the_default_network(lite0: cs.Network) -> None:
    """Parameters as published by its authors (4.7 million), multiply-adds likewise (407 million)."""
    table = cs.layer_table(lite0)
    assert table.parameters == table.total_parameters == 4_652_008
    assert table.multiply_adds == pytest.approx(400e6, rel=0.05)
    assert table.input_shape == (3, 224, 224)
    assert table.notes == ()


def test_totals_by_hand(upright: cs.Network) -> None:
    table = cs.layer_table(upright)
    convolution, transposed, linear = 6 * 3 * 3 * 5, 6 * 2 * 2 * 2, 2 * 3
    assert table.parameters == convolution + 6 + transposed + 2 + linear + 3
    assert table.multiply_adds == convolution * 7 * 20 + transposed * 7 * 20 + linear
    assert [row.kind for row in table.rows] == [
        "convolution", "relu", "transposed convolution", "average pooling", "reshape", "linear",
    ]  # fmt: skip


def test_parameters_that_are_never_used_count_in_the_total_only() -> None:
    class Spare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.spare = nn.Linear(12, 2), nn.Linear(100, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.used(x.flatten(1))  # type: ignore[no-any-return]

    table = cs.layer_table(cs.Network(Spare(), input_size=2))
    assert (table.parameters, table.total_parameters) == (26, 26 + 1010)


def test_a_choice_of_layers_comes_in_the_order_asked_for(lite0: cs.Network) -> None:
    table = cs.layer_table(lite0, ["blocks.3", "stem.conv"])
    assert [row.name for row in table.rows] == [lite0.layers["blocks.3"].name, "stem.conv"]
    assert table.parameters == 2 * 40 + 3 * 32 * 9
    with pytest.raises(LayerError, match=r"no layer 'stem\.con'; nearest: stem\.conv"):
        cs.layer_table(lite0, ["stem.con"])


def test_every_layer_has_a_name_that_can_be_asked_for() -> None:
    for module in (nn.Conv2d(3, 2, 3), nn.Sequential(nn.Conv2d(3, 2, 3))):
        net = cs.Network(module, input_size=8)
        for row in cs.layer_table(net).rows:
            assert net.gradient(torch.rand(3, 8, 8), f"{row.name}:1").shape == (3, 8, 8)


# --- Its forms ---


def test_json_holds_the_whole_table(upright: cs.Network) -> None:
    table = cs.layer_table(upright)
    read: dict[str, Any] = json.loads(table.to_json())
    assert (read["network"], read["input"], read["notes"]) == ("upright", [3, 16, 24], [])
    assert (read["parameters"], read["multiply_adds"]) == (table.total_parameters, table.multiply_adds)
    assert len(read["layers"]) == len(table.rows)
    for told, row in zip(read["layers"], table.rows, strict=True):
        field = row.receptive_field
        assert field is not None
        assert (told["name"], told["kind"], tuple(told["shape"])) == (row.name, row.kind, row.shape)
        assert (told["parameters"], told["multiply_adds"]) == (row.parameters, row.multiply_adds)
        assert told["kernel"] == (list(row.kernel) if row.kernel else None)
        assert told["stride"] == (list(row.stride) if row.stride else None)
        assert told["receptive_field"] == ("whole image" if field.whole else list(field.size))
        assert told["receptive_field_stride"] == (None if field.whole else [float(each) for each in field.stride])
        assert told["receptive_field_start"] == (None if field.whole else [float(each) for each in field.start])
    assert json.loads(json.dumps(read)) == read


def test_text_stands_in_columns(upright: cs.Network) -> None:
    table = cs.layer_table(upright)
    head, *lines, summary = str(table).splitlines()
    assert summary == table.summary
    assert len(lines) == 6
    for column in table.COLUMNS:
        assert column in head
    assert lines[0].split()[:4] == ["0", "convolution", "6×7×20", "3×5"]
    shapes = [line[head.index("output") :].split()[0] for line in lines]
    assert shapes == ["6×7×20", "6×7×20", "2×14×40", "2×1×1", "2", "3"]
    end = head.index("parameters") + len("parameters")
    parameters = {line[:end].split()[-1] for line in (lines[0], lines[2], lines[5])}
    assert parameters == {"276", "50", "9"}
    assert all(line == line.rstrip() for line in lines)


def test_cells_are_as_many_as_columns(upright: cs.Network) -> None:
    table = cs.layer_table(upright)
    assert {len(cells) for cells in table.cells()} == {len(table.COLUMNS)}
    assert table.cells()[2][-2:] == ("1, 1/2", "-1, -1/2")


def test_html_shows_every_cell(upright: cs.Network) -> None:
    table = cs.layer_table(upright)
    for cells in table.cells():
        for cell in cells:
            assert cell.replace("-", "−") in table._repr_html_() or cell in table._repr_html_()
    assert table.html().text == table._repr_html_()


# --- Networks that can't be traced ---


class ValueDependent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = x if x.mean() > 0 else -x
        return self.fc(x.mean((2, 3)))  # type: ignore[no-any-return]


def test_untraceable_networks_are_listed_by_their_submodules_and_say_so() -> None:
    table = cs.layer_table(cs.Network(ValueDependent(), input_size=8))
    assert len(table.notes) == 1
    assert "can't be traced" in table.notes[0]
    assert json.loads(table.to_json())["notes"] == list(table.notes)
    assert [(row.name, row.shape) for row in table.rows] == [("conv", (4, 6, 6)), ("fc", (2,))]
    assert table.parameters == 4 * 28 + 10
    assert table.multiply_adds == 4 * 36 * 27 + 8
    assert {cells[-3:] for cells in table.cells()} == {("", "", "")}
    assert [row["receptive_field"] for row in json.loads(table.to_json())["layers"]] == [None, None]


def test_hooks_that_are_not_run_are_noted(tiny: nn.Module) -> None:
    tiny[0].register_forward_hook(lambda *call: None)  # type: ignore[index]
    assert "hook" in " ".join(cs.layer_table(cs.Network(tiny, input_size=16)).notes)
