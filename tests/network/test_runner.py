"""Networks on images of several sizes: the graph of one serves the others only where it gives what the module gives."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.random_networks import Made, modules
from torch import Tensor, nn

import convscope as cs
from convscope.errors import NetworkError


@settings(max_examples=40, deadline=None)
@given(modules(), st.integers(0, 9), st.integers(0, 9))
def test_another_size_is_as_if_it_were_the_first(made: Made, rows: int, columns: int) -> None:
    module, size = made
    image = torch.rand(3, size[0] + rows, size[1] + columns, dtype=torch.float64)
    fresh, used = (cs.Network(module, input_size=size, head="none") for _ in range(2))
    assert used.layers
    try:
        expected = fresh.layers_for(image)
    except NetworkError:
        with pytest.raises(NetworkError):
            used.layers_for(image)
        return
    found = used.layers_for(image)
    assert dict(found) == dict(expected)
    for name in list(expected)[-2:]:
        torch.testing.assert_close(used.capture(image, [name])[name], fresh.capture(image, [name])[name])


class OfOneSize(nn.Module):
    """Numbers of its image's size are written into its calls."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.first, self.last = kind, nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Any:
        n, _, rows, columns = x.shape
        x = self.first(x)
        if self.kind == "positions":
            x = x + torch.linspace(0, 1, rows)[:, None] * torch.linspace(0, 1, columns)
        elif self.kind == "reshaped":
            x = x.reshape(n, 4, rows * columns)[:, :, : rows * columns // 2, None]
        elif self.kind == "odd sizes padded":
            x = F.pad(x, (0, columns % 2, 0, rows % 2), value=1.0)
        elif self.kind == "another path":
            x = x.relu() if rows > 12 else x.sigmoid()
        elif self.kind == "interpolated":
            x = F.interpolate(x, size=(rows, columns * 2))[..., : rows // 2]
        return self.last(x.mean(dim=(2, 3)))


@pytest.mark.parametrize("kind", ["positions", "reshaped", "odd sizes padded", "another path", "interpolated"])
def test_what_depends_on_the_size_is_traced_anew(kind: str) -> None:
    module = OfOneSize(kind).eval()
    net = cs.Network(module, input_size=12, head="none")
    for side in (12, 13, 20, 12):
        image = torch.rand(2, 3, side, side + 1)
        torch.testing.assert_close(net.logits(image), module(image))
        assert not net.notes
    assert net.graph((3, 12, 12)) is not net.graph((3, 20, 21))


def test_one_graph_for_all_sizes(lite0: cs.Network) -> None:
    graphs = {id(lite0.graph((3, *size))) for size in ((224, 224), (96, 131), (300, 40))}
    assert len(graphs) == 1


def test_new_weights_are_seen_at_all_sizes() -> None:
    first = nn.Conv2d(3, 2, 3, bias=False)
    net = cs.Network(nn.Sequential(first, nn.AdaptiveAvgPool2d(1), nn.Flatten()), input_size=8)
    image = torch.rand(3, 9, 7)
    before = net.logits(image)
    with torch.no_grad():
        first.weight.mul_(2.0)
    torch.testing.assert_close(net.logits(image), 2 * before)
