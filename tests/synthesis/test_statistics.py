"""Statistics that forget place: each is what it is defined as, and none knows of places."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from convscope.synthesis.objectives import gram
from convscope.synthesis.objectives.statistics import STATISTICS, gaussian, matrix_root, weighted_gram

seeds = st.integers(0, 9999)
sides = st.integers(1, 5)
NAMES = list(STATISTICS)


def features(channels: int, rows: int, columns: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, channels, rows, columns, generator=generator, dtype=torch.float64)


def vectors(maps: Tensor) -> np.ndarray[Any, Any]:
    """One row a place."""
    array: np.ndarray[Any, Any] = maps[0].flatten(1).T.numpy()
    return array


def second_moment(points: np.ndarray[Any, Any]) -> Any:
    return sum(np.outer(each, each) for each in points) / len(points)


def by_gram(points: Any, wanted: Any) -> Any:
    return ((second_moment(points) - second_moment(wanted)) ** 2).sum() / (second_moment(wanted) ** 2).sum()


def by_moments(points: Any, wanted: Any) -> Any:
    parts = [(each.mean(axis=0), each.std(axis=0)) for each in (points, wanted)]
    apart = sum(((one - other) ** 2).sum() for one, other in zip(*parts, strict=True))
    return apart / sum((each**2).sum() for each in parts[1])


def by_covariance(points: Any, wanted: Any) -> Any:
    means = [each.mean(axis=0) for each in (points, wanted)]
    spreads = [second_moment(each - mean) for each, mean in zip((points, wanted), means, strict=True)]
    whole = second_moment(wanted)
    return ((spreads[0] - spreads[1]) ** 2).sum() / (whole**2).sum() + (
        (means[0] - means[1]) ** 2
    ).sum() / whole.trace()


def by_wasserstein(points: Any, wanted: Any) -> Any:
    means = [each.mean(axis=0) for each in (points, wanted)]
    one, other = (second_moment(each - mean) for each, mean in zip((points, wanted), means, strict=True))
    root = scipy.linalg.sqrtm(other)
    common = scipy.linalg.sqrtm(root @ one @ root).real
    apart = ((means[0] - means[1]) ** 2).sum() + np.trace(one + other - 2 * common)
    return apart / second_moment(wanted).trace()


TWINS: dict[str, Callable[[Any, Any], Any]] = {
    "gram": by_gram, "moments": by_moments, "covariance": by_covariance, "wasserstein": by_wasserstein,
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@given(st.integers(1, 4), seeds)
@settings(max_examples=20, deadline=None)
def test_each_is_its_definition(name: str, channels: int, seed: int) -> None:
    style, found = features(channels, 4, 5, seed), features(channels, 5, 3, seed + 1)
    distance = STATISTICS[name](style)(found, None)
    assert float(distance) == pytest.approx(float(TWINS[name](vectors(found), vectors(style))), rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("name", NAMES)
@given(st.integers(1, 4), sides, sides, seeds)
@settings(max_examples=15, deadline=None)
def test_places_are_forgotten(name: str, channels: int, rows: int, columns: int, seed: int) -> None:
    style, found = features(channels, 3, 3, seed), features(channels, rows, columns, seed + 1)
    order = torch.randperm(rows * columns, generator=torch.Generator().manual_seed(seed))
    moved = found.flatten(2)[:, :, order].reshape(found.shape)
    distance = STATISTICS[name](style)
    torch.testing.assert_close(distance(moved, None), distance(found, None), rtol=1e-6, atol=1e-8)
    assert float(distance(style.mT.contiguous(), None)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
@given(st.integers(1, 3), seeds)
@settings(max_examples=15, deadline=None)
def test_of_a_region_they_are_those_of_its_pixels(name: str, channels: int, seed: int) -> None:
    style, found = features(channels, 3, 4, seed), features(channels, 4, 4, seed + 1)
    inside = torch.rand(4, 4, generator=torch.Generator().manual_seed(seed)) < 0.6
    inside[0, :2] = True
    cut = found.flatten(2)[:, :, inside.flatten()][..., None]
    distance = STATISTICS[name](style)
    torch.testing.assert_close(distance(found, inside.double()), distance(cut, None), rtol=1e-6, atol=1e-8)


def test_soft_weights_are_places_counted_so_many_times() -> None:
    found = features(3, 1, 2, 1)
    counted = found[..., [0, 1, 1, 1]]
    torch.testing.assert_close(weighted_gram(found, torch.tensor([[0.25, 0.75]]).double()), gram(counted))


@pytest.mark.parametrize("name", NAMES)
def test_gradients(name: str) -> None:
    style, found = features(3, 4, 3, 2), features(3, 3, 5, 1).requires_grad_()
    weights = torch.rand(3, 5, generator=torch.Generator().manual_seed(0)).double()
    distance = STATISTICS[name](style)
    assert torch.autograd.gradcheck(lambda maps: distance(maps, None), found)
    assert torch.autograd.gradcheck(lambda maps: distance(maps, weights), found)


@pytest.mark.parametrize("name", NAMES)
def test_they_stay_numbers_where_there_are_fewer_places_than_channels(name: str) -> None:
    style, found = features(6, 1, 2, 0).float(), features(6, 1, 1, 1).float().requires_grad_()
    value = STATISTICS[name](style)(found, None)
    (gradient,) = torch.autograd.grad(value.sum(), found)
    assert value.isfinite().all()
    assert gradient.isfinite().all()
    assert STATISTICS[name](torch.zeros(1, 6, 2, 2))(found, None).isfinite().all()


def test_the_mean_and_the_covariance() -> None:
    maps = features(4, 5, 6, 3)
    mean, covariance = gaussian(maps)
    np.testing.assert_allclose(mean[0], vectors(maps).mean(axis=0))
    np.testing.assert_allclose(covariance[0], np.cov(vectors(maps).T, bias=True))


def test_the_root_squared_is_the_matrix() -> None:
    matrix = gram(features(4, 5, 6, 3))[0]
    torch.testing.assert_close(matrix_root(matrix) @ matrix_root(matrix), matrix)
