import colorsys
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from convscope.errors import ImageError
from convscope.render.colours import (
    DIVERGING,
    INVALID,
    SEQUENTIAL,
    Scale,
    diverging_curve,
    sequential_curve,
    to_array,
    to_oklab,
    to_srgb,
)

ANY_FLOAT = st.floats(allow_nan=True, allow_infinity=True)


def steps(lab: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.linalg.norm(np.diff(lab, axis=0), axis=1))


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        # Ottosson's published examples, from XYZ through the primaries of sRGB.
        ((1.0, 1.0, 1.0), (1.0, 0.0, 0.0)),
        ((1.0, 0.0, 0.0), (0.628, 0.225, 0.126)),
        ((0.0, 1.0, 0.0), (0.866, -0.234, 0.179)),
        ((0.0, 0.0, 1.0), (0.452, -0.032, -0.312)),
        ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
    ],
)
def test_oklab_of_the_primaries(rgb: tuple[float, ...], lab: tuple[float, ...]) -> None:
    np.testing.assert_allclose(to_oklab(rgb), lab, atol=1e-3)


def test_oklab_and_back() -> None:
    rgb = np.random.default_rng(0).uniform(size=(500, 3))
    np.testing.assert_allclose(to_srgb(to_oklab(rgb)), rgb, atol=1e-6)


@pytest.mark.parametrize("table", [SEQUENTIAL, DIVERGING])
def test_tables_are_256_colours_that_nobody_can_change(table: NDArray[np.uint8]) -> None:
    assert table.shape == (256, 3)
    assert table.dtype == np.uint8
    with pytest.raises(ValueError, match="read-only"):
        table[0] = 0


def test_both_curves_lie_inside_srgb() -> None:
    position = np.linspace(0, 1, 1001)
    for lab in (sequential_curve(position), diverging_curve(position), diverging_curve(-position)):
        rgb = to_srgb(lab)
        assert rgb.min() >= 0
        assert rgb.max() <= 1


def test_sequential_lightness_is_linear_and_its_steps_are_equal() -> None:
    lab = to_oklab(SEQUENTIAL / 255)
    np.testing.assert_allclose(lab[:, 0], np.linspace(lab[0, 0], lab[-1, 0], 256), atol=0.004)
    assert lab[-1, 0] - lab[0, 0] > 0.8
    exact = steps(sequential_curve(np.linspace(0, 1, 256)))
    np.testing.assert_allclose(exact, exact.mean(), rtol=1e-3)
    # Eight bits round single steps, so that only runs of them can be compared.
    coarse = steps(lab[::15])
    assert coarse.max() / coarse.min() < 1.1


def test_sequential_reads_in_grey() -> None:
    """Who sees no colour sees the same order: luma grows with the value."""
    luma = SEQUENTIAL @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(luma) > -0.5).all()
    assert (np.diff(luma[::4]) > 0).all()


def test_diverging_is_symmetrical_about_a_neutral_centre() -> None:
    assert DIVERGING[127].tolist() == DIVERGING[128].tolist()
    assert np.ptp(DIVERGING[127].astype(int)) <= 1
    assert DIVERGING[127].min() > 240
    lab = to_oklab(DIVERGING / 255)
    np.testing.assert_allclose(lab[:, 0], lab[::-1, 0], atol=0.004)
    np.testing.assert_allclose(np.hypot(*lab[:, 1:].T), np.hypot(*lab[::-1, 1:].T), atol=0.004)
    assert (np.diff(lab[::8, 0][:16]) > 0).all()
    exact = steps(diverging_curve(np.linspace(0, 1, 128)))
    assert exact.max() / exact.min() < 1.15


def test_diverging_is_blue_below_and_red_above() -> None:
    hue = [colorsys.rgb_to_hsv(*(DIVERGING[place] / 255))[0] * 360 for place in (0, 60, 195, 255)]
    assert all(200 < each < 230 for each in hue[:2])
    assert all(each < 30 or each > 350 for each in hue[2:])


def test_scale_of_magnitudes_and_of_signed_values() -> None:
    assert Scale.of([0.5, 2.0]) == Scale(0.0, 2.0)
    assert Scale.of([-3.0, 2.0]) == Scale(-3.0, 3.0)
    assert Scale.of([0.5, 2.0], signed=True) == Scale(-2.0, 2.0)
    assert Scale.of([-3.0, 2.0], signed=False) == Scale(0.0, 2.0)
    assert Scale.of([-3.0, -2.0], signed=False) == Scale(0.0, 1.0)


def test_scale_of_nothing_to_go_by() -> None:
    assert Scale.of(np.zeros((3, 3))) == Scale(0.0, 1.0)
    assert Scale.of(np.zeros((3, 3)), signed=True) == Scale(-1.0, 1.0)
    assert Scale.of([np.nan, np.inf]) == Scale(0.0, 1.0)
    assert Scale.of([]) == Scale(0.0, 1.0)
    assert Scale.of([5e-324]) == Scale(0.0, 1.0)
    assert Scale.of([2.0, np.nan, np.inf]) == Scale(0.0, 2.0)


def test_scale_leaves_outliers_out() -> None:
    values = np.append(np.linspace(0, 1, 100), 50.0)
    assert Scale.of(values, percentile=99).high == pytest.approx(1.0)
    mostly_zero = np.append(np.zeros(500), 2.0)
    assert Scale.of(mostly_zero, percentile=99) == Scale(0.0, 2.0)


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (2.0, 1.0), (float("nan"), 1.0), (0.0, float("inf"))])
def test_scale_that_is_none(low: float, high: float) -> None:
    with pytest.raises(ImageError, match="expected two finite numbers"):
        Scale(low, high)


def test_percentile_that_is_none() -> None:
    with pytest.raises(ImageError, match="expected 0 to 100"):
        Scale.of([1.0], percentile=101)


def test_colours_of_known_values() -> None:
    colours = Scale(-2.0, 2.0).colour([[-9.0, -2.0, 0.0, 2.0, 9.0, np.nan, np.inf]])
    expected = [DIVERGING[0], DIVERGING[0], DIVERGING[127], DIVERGING[255], DIVERGING[255], INVALID, INVALID]
    assert colours.dtype == np.uint8
    assert colours[0].tolist() == [list(map(int, each)) for each in expected]
    assert Scale(0.0, 255.0).colour(np.arange(256)).tolist() == SEQUENTIAL.tolist()


def test_invalid_is_in_neither_map() -> None:
    for table in (SEQUENTIAL, DIVERGING):
        assert np.abs(table.astype(int) - INVALID).sum(axis=1).min() > 40


@given(st.lists(ANY_FLOAT, max_size=12), st.sampled_from([None, True, False]), st.floats(0, 100))
@settings(max_examples=150, deadline=None)
def test_no_numbers_break_a_scale(values: list[float], signed: bool | None, percentile: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scale = Scale.of(values, signed=signed, percentile=percentile)
        position = scale.position(values)
        assert scale.colour(values).shape == (len(values), 3)
    assert scale.low < scale.high
    assert np.array_equal(np.isnan(position), ~np.isfinite(np.asarray(values, dtype=float)))
    known = position[np.isfinite(position)]
    assert ((known >= 0) & (known <= 1)).all()


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=12))
@settings(max_examples=50, deadline=None)
def test_greater_values_never_lie_lower(values: list[float]) -> None:
    ordered = np.sort(np.asarray(values))
    assert (np.diff(Scale.of(values).position(ordered)) >= 0).all()


def test_tensors_are_numbers_too() -> None:
    tensor = torch.tensor([1.5, -2.0], dtype=torch.bfloat16, requires_grad=True)
    assert to_array(tensor).tolist() == [1.5, -2.0]
    assert Scale.of(tensor) == Scale(-2.0, 2.0)
