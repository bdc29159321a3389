"""Filters learned from photographs: known sources come back, and what photographs give is oriented and opponent."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.decomposition import FastICA, sparse_encode
from torch import Generator, Tensor

from convscope.anatomy.natural_filters import (
    NaturalFilters,
    independent,
    natural_filters,
    sparse,
    sparse_codes,
    whiten,
)
from convscope.errors import ConvscopeError, ImageError
from convscope.image.read import read_image
from convscope.image.write import read_recipe


def generator() -> Generator:
    return Generator().manual_seed(0)


def overlaps(found: Tensor, true: Tensor) -> Tensor:
    """For each true direction, the largest absolute cosine with one that was found."""
    return (F.normalize(true, dim=1) @ F.normalize(found, dim=1).T).abs().amax(1)


def coherence(values: Tensor) -> Tensor:
    """How much of each filter's spectrum lies along one orientation: |Σ P(f) e^(2iθ)| / Σ P(f), 1 for a grating."""
    power = torch.fft.fft2(values.mean(1), s=(32, 32)).abs().square()
    frequencies = torch.fft.fftfreq(32)
    y, x = torch.meshgrid(frequencies, frequencies, indexing="ij")
    twice = torch.polar(torch.ones_like(x), 2 * torch.atan2(y, x))
    concentrated: Tensor = (power * twice).sum((1, 2)).abs() / power.sum((1, 2))
    return concentrated


@pytest.fixture(scope="module")
def learned() -> NaturalFilters:
    return natural_filters(size=8, count=48, patches=12_000)


@pytest.fixture(scope="module")
def coded() -> NaturalFilters:
    return natural_filters("sparse", size=8, count=48, patches=12_000)


def test_independent_components_are_the_sources_that_were_mixed() -> None:
    sources = torch.distributions.Laplace(0.0, 1.0).sample((20_000, 6)).double()
    mixing = torch.randn(6, 6, dtype=torch.float64)
    white, back = whiten(sources @ mixing, 6)
    rows = independent(white, generator())
    torch.testing.assert_close(rows @ rows.T, torch.eye(6, dtype=torch.float64))
    assert overlaps(rows @ back, mixing).min() > 0.995


def test_independent_components_are_those_of_scikit_learn() -> None:
    sources = torch.distributions.Laplace(0.0, 1.0).sample((5_000, 4)).double()
    white, _ = whiten(sources - sources.mean(0), 4)
    rows = independent(white, generator(), tolerance=1e-9)
    peer = FastICA(whiten=False, tol=1e-10, max_iter=1000, random_state=0).fit(white.numpy())
    assert overlaps(rows, torch.from_numpy(peer.components_)).min() > 1 - 1e-6


def test_sparse_features_are_the_dictionary_that_was_mixed() -> None:
    dictionary = F.normalize(torch.randn(12, 8), dim=1)
    codes = torch.where(torch.rand(4000, 12) < 0.1, 3 * torch.randn(4000, 12), torch.zeros(()))
    found = sparse(codes @ dictionary, 12, generator(), penalty=0.3)
    torch.testing.assert_close(found.square().sum(1), torch.ones(12))
    assert overlaps(found, dictionary).min() > 0.97


def test_sparse_codes_are_those_of_scikit_learn() -> None:
    features = F.normalize(torch.randn(6, 8, dtype=torch.float64), dim=1)
    data = torch.randn(50, 8, dtype=torch.float64)
    found = sparse_codes(data, features, 0.2, steps=400)
    peer = sparse_encode(data.numpy(), features.numpy(), algorithm="lasso_cd", alpha=0.2)
    torch.testing.assert_close(found, torch.from_numpy(np.asarray(peer)), atol=1e-5, rtol=1e-5)


def test_whitening_leaves_nothing_correlated_and_can_be_undone() -> None:
    patches = torch.randn(4000, 10, dtype=torch.float64) @ torch.randn(10, 10, dtype=torch.float64)
    white, back = whiten(patches, 10)
    torch.testing.assert_close(white.T @ white / 4000, torch.eye(10, dtype=torch.float64))
    torch.testing.assert_close(white @ back, patches)
    fewer, _ = whiten(patches, 3)
    torch.testing.assert_close(fewer.abs(), white[:, :3].abs())


@pytest.mark.parametrize("method", ["learned", "coded"])
def test_most_filters_are_oriented_unlike_random_ones(method: str, request: pytest.FixtureRequest) -> None:
    values = request.getfixturevalue(method).values
    flat = values.flatten(1)
    # The same space in random directions: what whitening alone would give.
    turned = torch.linalg.qr(torch.randn(len(flat), len(flat)))[0] @ flat
    assert coherence(values).median() > 2 * coherence(turned.reshape(values.shape)).median()
    assert coherence(values).median() > 0.5


@pytest.mark.parametrize("method", ["learned", "coded"])
def test_the_coloured_ones_come_last_and_their_colours_are_opposed(method: str, request: pytest.FixtureRequest) -> None:
    values = request.getfixturevalue(method).values
    grey = values.mean(1, keepdim=True)
    colourfulness = (values - grey).square().sum((1, 2, 3)) / values.square().sum((1, 2, 3))
    assert colourfulness[:8].max() < 0.3
    coloured = values[colourfulness > 0.6]
    assert len(coloured) >= 3
    pixels = coloured.transpose(0, 1).flatten(1)
    correlation = torch.corrcoef(pixels)
    # Blue against yellow: where blue rises, red falls.
    assert correlation[0, 2] < 0


def test_the_seed_decides(learned: NaturalFilters) -> None:
    small = {"size": 5, "count": 12, "patches": 2000}
    first, same, other = (natural_filters("ica", seed=seed, **small) for seed in (1, 1, 2))  # type: ignore[arg-type]
    assert torch.equal(first.values, same.values)
    assert not torch.equal(first.values, other.values)


def test_ones_own_photographs_and_the_recipe(tmp_path: Path) -> None:
    photograph = read_image("coffee", 200)
    result = natural_filters("sparse", size=4, count=10, photographs=[photograph], patches=1500, seed=5)
    result.save(tmp_path / "filters.png", columns=5)
    recipe = read_recipe(tmp_path / "filters.png")
    assert recipe.parameters == {"method": "sparse", "size": 4, "count": 10, "patches": 1500}
    assert recipe.seed == 5
    assert [each.name for each in recipe.inputs] == ["coffee"]
    assert recipe.inputs[0].size == 200


def test_what_cannot_be_is_an_error() -> None:
    with pytest.raises(ConvscopeError, match="no method 'pca'"):
        natural_filters("pca")  # type: ignore[arg-type]
    with pytest.raises(ConvscopeError, match="count=75 filters of 5 × 5 × 3; expected 2 to 74"):
        natural_filters(size=5, count=75)
    with pytest.raises(ConvscopeError, match="75 patches of 75 numbers each"):
        natural_filters(size=5, count=10, patches=75)
    with pytest.raises(ConvscopeError, match="size 1"):
        natural_filters(size=1)
    with pytest.raises(ImageError, match="sides of 10 pixels at least"):
        natural_filters(size=5, count=10, patches=100, photographs=[torch.rand(3, 9, 40)])
    with pytest.raises(ImageError, match="expected 3"):
        natural_filters(size=5, count=10, patches=100, photographs=[torch.rand(1, 40, 40)])
    with pytest.raises(ImageError, match="no photographs"):
        natural_filters(photographs=[])
