"""How far a change spreads, against changing one number after another and looking what differs."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from convscope.attribution.occluder import Places
from convscope.attribution.spread import Spread, Track, grouped
from convscope.network.geometry import Window

LayerAxis = tuple[int, int, int, int]  # kernel, stride, padding, dilation


@st.composite
def layer_axes(draw: st.DrawFn) -> LayerAxis:
    kernel = draw(st.integers(1, 4))
    return kernel, draw(st.integers(1, 4)), draw(st.integers(0, kernel)), draw(st.integers(1, 3))


def through(values: Tensor, layer: LayerAxis) -> Tensor:
    kernel, stride, padding, dilation = layer
    weight = torch.arange(1.0, kernel + 1, dtype=torch.float64)[None, None]
    return F.conv1d(values, weight, stride=stride, padding=padding, dilation=dilation)


def chained(length: int, layers: Sequence[LayerAxis]) -> list[tuple[LayerAxis, int]]:
    """As many of the layers as fit, each with its number of outputs."""
    fitting = []
    for kernel, stride, padding, dilation in layers:
        length = (length + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
        if length < 1:
            break
        fitting.append(((kernel, stride, padding, dilation), length))
    return fitting


@given(st.integers(1, 40), st.lists(layer_axes(), min_size=1, max_size=4), st.data())
@settings(max_examples=150, deadline=None)
def test_the_places_that_change(length: int, layers: list[LayerAxis], data: st.DataObject) -> None:
    """Nothing outside the track ever changes; behind a single layer, its ends do."""
    size = data.draw(st.integers(1, length))
    places = Places.along(length, size=size, stride=data.draw(st.integers(1, length)))
    track = Track.of(length, places.starts, [stop - 1 for stop in places.stops])
    clean = torch.rand(1, 1, length, dtype=torch.float64)
    changed = clean.repeat(len(places), 1, 1)
    for row, start, stop in zip(changed, places.starts, places.stops, strict=True):
        row[:, start:stop] += 1
    for depth, (layer, count) in enumerate(chained(length, layers)):
        kernel, stride, padding, dilation = layer
        track = track.through(Window.sliding(kernel, stride, padding, dilation), count)
        clean, changed = through(clean, layer), through(changed, layer)
        assert (track.length, clean.shape[-1]) == (count, count)
        for index, row in enumerate((changed != clean)[:, 0]):
            differ = row.nonzero()[:, 0].tolist()
            reach = range(int(track.first[index]), int(track.last[index]) + 1)
            assert set(differ) <= set(reach)
            assert int(track.size[index]) == len(reach)
            if depth == 0 and dilation == 1:
                assert differ == list(reach)


def test_what_reads_two_maps_changes_where_either_does() -> None:
    one, other = Track.of(9, [0, 3], [1, 5]), Track.of(9, [2, 1], [2, 4])
    both = one.union(other)
    assert both.first.tolist() == [0, 1]
    assert both.last.tolist() == [2, 5]
    spread = Spread(one, other)
    assert spread.union(spread) is spread
    assert spread.share == pytest.approx(2.5 * 2.5 / 81)


def test_a_moved_map_changes_where_it_was_moved_to() -> None:
    spread = Spread(Track.of(4, [0, 2], [1, 3]), Track.of(5, [1], [2]))
    moved = spread.moved(2, 1, (3, 9, 6))
    assert (moved.rows.first.tolist(), moved.rows.last.tolist()) == ([2, 4], [3, 5])
    assert (moved.columns.first.tolist(), moved.shape) == ([2], (9, 6))
    assert moved.base is spread
    assert spread.moved(0, 0, (3, 4, 5)) is spread


@given(st.integers(4, 60), st.lists(layer_axes(), max_size=4), st.integers(1, 5), st.data())
@settings(max_examples=150, deadline=None)
def test_every_place_is_in_one_group(length: int, layers: list[LayerAxis], least: int, data: st.DataObject) -> None:
    places = Places.along(
        length, size=data.draw(st.integers(1, length)), stride=data.draw(st.integers(1, max(1, length // 2)))
    )
    tracks = [Track.of(length, places.starts, [stop - 1 for stop in places.stops])]
    for (kernel, stride, padding, dilation), count in chained(length, layers):
        tracks.append(tracks[-1].through(Window.sliding(kernel, stride, padding, dilation), count))
    groups = grouped(tracks, least)
    assert sorted(np.concatenate(groups).tolist()) == list(range(len(places)))
    assert len(groups) == 1 or min(map(len, groups)) >= least
    for track in tracks:
        for group in groups:
            # A rectangle of the group's size, moved inward at the border, holds whatever changes for each of its own.
            size = max(1, int(track.size[group].max()))
            starts = np.clip(track.first[group], 0, track.length - size)
            changing = track.size[group] > 0
            assert (starts <= track.first[group])[changing].all()
            assert (starts + size > track.last[group])[changing].all()


def test_windows_that_lie_alike_on_the_strides_are_together() -> None:
    """At stride 4 on a network of stride 8, every other window has the same rectangles, but for the borders."""
    places = Places.along(64, size=8, stride=4)
    track = Track.of(64, places.starts, [stop - 1 for stop in places.stops])
    deep = (
        track.through(Window.sliding(3, 2, 1), 32)
        .through(Window.sliding(3, 2, 1), 16)
        .through(Window.sliding(3, 2, 1), 8)
    )
    even, odd = (set(range(start, len(places), 2)) for start in (0, 1))
    assert {frozenset(group.tolist()) for group in grouped([track, deep], 1)} == {frozenset(even), frozenset(odd)}
