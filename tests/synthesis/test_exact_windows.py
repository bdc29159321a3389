"""Windows show what the whole picture shows, place by place, of any network whose layers don't see all of it."""

import functools
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.synthesis.networks import small
from torch import Tensor, nn

import convscope as cs
from convscope.errors import ImageError, NetworkError
from convscope.synthesis.exact_windows import Axis, ExactWindows, axes_of, put_together, window_for


class Gated(nn.Module):
    """Channels times a number each that the whole map decides, as squeeze-excite does."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        maps: Tensor = self.first(images)
        return maps * maps.mean(dim=(2, 3), keepdim=True).sigmoid()


def pools() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(5, 6, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Conv2d(6, 7, 3, padding=1),
    )  # fmt: skip


def strides() -> nn.Module:
    """Uneven padding, a stride in a convolution, a pool that rounds up, dilation, and no padding at all."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 5, stride=2, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.Conv2d(4, 5, 3, dilation=2), nn.Sigmoid(),
    )  # fmt: skip


def mirrors() -> nn.Module:
    return nn.Sequential(nn.ReflectionPad2d(2), nn.Conv2d(3, 4, 5), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(4, 4, 3))


MODULES: dict[str, Callable[[], nn.Module]] = {"pools": pools, "strides": strides, "mirrors": mirrors}


@functools.cache
def network(name: str) -> cs.Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return cs.Network(MODULES[name]().double(), input_size=32, head="none")


@given(st.integers(1, 90), st.integers(0, 12), st.sampled_from([(1, 1, 2), (2, 4, 4), (4, 8, 12), (3, 0, 3)]))
@settings(deadline=None)
def test_cores_cover_each_pixel_once_and_windows_reach_far_enough(
    side: int, more: int, shape: tuple[int, int, int]
) -> None:
    axis = Axis(*shape, {})
    length = axis.least + more
    spans = axis.spans(side, length)
    assert [pixel for span in spans for pixel in range(span.first, span.last)] == list(range(side))
    for span in spans:
        assert span.begin % axis.stride == 0
        assert span.end - span.begin <= length
        assert 0 <= span.begin <= max(span.first - axis.before, 0)
        assert min(span.last + axis.after, side) <= span.end <= side


@pytest.mark.parametrize("name", MODULES)
@given(st.integers(37, 80), st.integers(37, 80), st.integers(0, 9), st.integers(0, 999))
@settings(max_examples=12, deadline=None)
def test_put_together_they_are_the_whole(name: str, rows: int, columns: int, more: int, seed: int) -> None:
    net = network(name)
    layers = [each for each in net.layers if net.layers[each].has_space]
    axes = axes_of(net, layers)
    assert axes is not None
    windows = ExactWindows(net, layers, max(each.least for each in axes) + more)
    picture = torch.rand(3, rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    expected = net.capture(picture, layers)
    found: dict[str, Tensor] = {}
    for parts in windows.parts(picture):
        put_together(found, parts)
    for layer, each in found.items():
        torch.testing.assert_close(each, expected[layer], rtol=1e-10, atol=1e-12)


def test_what_sees_the_whole_picture_is_refused() -> None:
    gated = cs.Network(Gated(), input_size=16, head="none")
    with pytest.raises(NetworkError, match="sees the whole picture; leave tile out"):
        ExactWindows(gated, ["mul"], 32)
    with pytest.raises(NetworkError, match="leave tile out"):
        ExactWindows(small(), ["7"], 32)
    with pytest.raises(ImageError, match="got tile=3, expected at least"):
        ExactWindows(small(), ["4"], 3)
    assert axes_of(gated, ["mul"]) is None


class Ramped(nn.Module):
    """Adds a ramp over the map, whatever its size: what no table of operations tells."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        maps: Tensor = self.first(images)
        return maps + torch.linspace(0, 1, maps.shape[-1])


def test_what_depends_on_the_size_is_found_out() -> None:
    net = cs.Network(Ramped(), input_size=24, head="none")
    with pytest.raises(NetworkError, match="then shows something else"):
        ExactWindows(net, ["add"], 40)


def test_no_window_is_smaller_than_what_the_network_runs_on() -> None:
    axis = Axis(4, 4, 8, {}, shortest=21)
    for side in range(axis.least, 200):
        assert all(span.end - span.begin >= 21 for span in axis.spans(side, axis.least + 3))


def test_windows_are_chosen_where_the_whole_needs_too_much() -> None:
    net = cs.Network(pools(), input_size=32, head="none")
    assert window_for(net, ["6"], [(200, 300)]) is None
    side = window_for(net, ["6"], [(200, 300), (12000, 9000)])
    assert side is not None
    assert side % 4 == 0
    assert 1000 < side < 9000
    assert window_for(cs.Network(Gated(), input_size=16, head="none"), ["mul"], [(20000, 20000)]) is None


def test_where_layers_see_far_the_whole_is_better(lite0: cs.Network) -> None:
    assert window_for(lite0, ["head.norm"], [(3000, 4000)]) is None
