"""Summaries: the strongest and the usual of each channel, against slow twins, and merged in parts."""

from functools import reduce
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from convscope.scanning.summary import EDGES, Statistics, Summary, Top

# Few different values, so that many are equal.
VALUES = st.sampled_from([-2.0, -1e-4, 0.0, 0.5, 0.5000001, 3.0, 1e5])


@st.composite
def shards(draw: st.DrawFn) -> list[tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int32]]]:
    """Runs of images with ascending ids: values, ids, places."""
    channels = draw(st.integers(1, 3))
    found, at = [], 0
    for count in draw(st.lists(st.integers(0, 6), min_size=1, max_size=4)):
        values = np.array(draw(st.lists(VALUES, min_size=count * channels, max_size=count * channels)), np.float32)
        places = np.array(draw(st.lists(st.integers(0, 9), min_size=values.size * 2, max_size=values.size * 2)))
        shape = (count, channels)
        found.append((values.reshape(shape), at + np.arange(count), places.reshape(*shape, 2).astype(np.int32)))
        at += count
    return found


def slow_top(values: NDArray[Any], ids: NDArray[Any], places: NDArray[Any], k: int) -> list[list[tuple[Any, ...]]]:
    found = []
    for channel in range(values.shape[1]):
        ranked = sorted(
            (-value, id, *place) for value, id, place in zip(values[:, channel], ids, places[:, channel], strict=True)
        )
        found.append([(-value, id, row, column) for value, id, row, column in ranked[:k]])
    return found


def as_lists(top: Top) -> list[list[tuple[Any, ...]]]:
    return [
        [(value, id, *place) for value, id, place in zip(*channel, strict=True) if id >= 0]
        for channel in zip(top.values, top.images, top.places, strict=True)
    ]


@given(shards(), st.integers(1, 5), st.randoms(use_true_random=False))
def test_the_strongest_of_parts_merge_in_any_order_to_those_of_all(parts: Any, k: int, random: Any) -> None:
    values, ids, places = (np.concatenate(each) for each in zip(*parts, strict=True))
    tops = [Top.of(values, ids, places, k) for values, ids, places in parts]
    random.shuffle(tops)
    merged = reduce(Top.merged, tops)
    assert as_lists(merged) == slow_top(values, ids, places, k)
    whole = Top.of(values, ids, places, k)
    for name, value in vars(whole).items():
        assert getattr(merged, name).tobytes() == value.tobytes()


@given(shards())
def test_the_usual_of_parts_merges_to_that_of_all(parts: Any) -> None:
    values = np.concatenate([part[0] for part in parts]).astype(np.float64)
    merged = reduce(Statistics.merged, [Statistics.of(part[0]) for part in parts])
    assert merged.count == len(values)
    assert np.array_equal(merged.positive, (values > 0).sum(0))
    if not len(values):
        assert np.isnan(merged.variance).all()
        return
    assert np.allclose(merged.mean, values.mean(0), rtol=1e-12, atol=1e-12)
    assert np.allclose(merged.variance, values.var(0), rtol=1e-9, atol=1e-9)
    assert np.array_equal(merged.least, values.min(0))
    assert np.array_equal(merged.greatest, values.max(0))
    slow = [np.histogram(column, EDGES)[0] for column in values.T]
    assert np.array_equal(merged.histogram, slow)


@pytest.mark.parametrize(("value", "low", "high"), [(0.0, -(2**-10), 2**-10), (1.0, 1, 2**0.5), (-1.0, -1, -(2**-0.5))])
def test_a_value_is_in_the_bin_it_belongs_to(value: float, low: float, high: float) -> None:
    [place] = Statistics.of(np.array([[value]], np.float32)).histogram[0].nonzero()[0]
    assert EDGES[place] == pytest.approx(low)
    assert EDGES[place + 1] == pytest.approx(high)


def test_a_summary_comes_back_from_its_arrays() -> None:
    values = np.array([[1.0, -2.0], [3.0, 0.0]], np.float32)
    places = np.arange(8, dtype=np.int32).reshape(2, 2, 2)
    summary = Summary(Top.of(values, np.array([4, 5]), places, 3), Statistics.of(values))
    again = Summary.from_arrays(summary.arrays())
    for one, other in ((summary.top, again.top), (summary.statistics, again.statistics)):
        for name, value in vars(one).items():
            assert np.array_equal(getattr(other, name), value)
            assert type(getattr(other, name)) is type(value)
