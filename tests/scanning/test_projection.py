"""Codes in a plane: principal components against a twin, t-SNE and UMAP against what was planted."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import convscope as cs
from convscope.errors import ConvscopeError, LayerError, MissingExtra
from convscope.progress import Progress
from convscope.scanning import projection as projecting
from convscope.scanning.neighbourhood import kept_neighbours, knn_accuracy, nearest_others
from convscope.scanning.pca import pca
from convscope.scanning.projection import Method, project


def clusters(
    count: int, *, kinds: int = 5, channels: int = 40, seed: int = 0
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Codes around as many centres as there are kinds, and which each is around."""
    random = np.random.default_rng(seed)
    kind = random.integers(0, kinds, count)
    return (random.normal(size=(kinds, channels)) * 3)[kind] + random.normal(size=(count, channels)), kind


@given(
    count=st.integers(2, 40), channels=st.integers(1, 40), dimensions=st.integers(1, 8), seed=st.integers(0, 99),
    normalize=st.booleans(),
)  # fmt: skip
@settings(deadline=None, max_examples=40)
def test_principal_components_are_those_of_a_singular_value_decomposition(
    count: int, channels: int, dimensions: int, seed: int, normalize: bool
) -> None:
    codes = np.random.default_rng(seed).normal(size=(count, channels)).astype(np.float32)
    found = pca(codes, dimensions, normalize=normalize)
    twin = codes.astype(np.float64)
    twin /= np.linalg.norm(twin, axis=1, keepdims=True) if normalize else 1
    twin -= twin.mean(0)
    _, stretch, rows = np.linalg.svd(twin, full_matrices=False)
    there = min(dimensions, min(count - 1, channels))
    variances = np.zeros(dimensions)
    variances[:there] = (stretch**2 / (count - 1))[:there]
    np.testing.assert_allclose(found.variances, variances, atol=1e-9)
    np.testing.assert_allclose(found.total, (twin**2).sum() / (count - 1), rtol=1e-9)
    expected = rows[:there] * np.sign(rows[np.arange(there), np.abs(rows[:there]).argmax(1)])[:, None]
    apart = stretch[:there] > 1e-3
    np.testing.assert_allclose((found.directions[:there] * expected).sum(1)[apart], 1, atol=1e-6)
    np.testing.assert_allclose(np.abs(found.place(codes)[:, :there]), np.abs(twin @ expected.T), atol=1e-4)


@pytest.mark.parametrize("shape", [(30, 8), (8, 30)])
def test_the_largest_entry_of_a_direction_is_positive(shape: tuple[int, int]) -> None:
    codes = np.random.default_rng(0).normal(size=shape)
    for given_codes in (codes, -codes):
        directions = pca(given_codes, 4).directions
        assert (directions[np.arange(4), np.abs(directions).argmax(1)] > 0).all()


def test_blocks_of_codes_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    codes, _ = clusters(100)
    whole = pca(codes, 3)
    monkeypatch.setattr("convscope.scanning.pca._BLOCK", 7)
    np.testing.assert_allclose(pca(codes, 3).directions, whole.directions, atol=1e-10)


@pytest.mark.parametrize("method", ["t-sne", "pca"])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 40])
@pytest.mark.parametrize("kind", ["different", "equal", "zero"])
def test_few_and_equal_codes_lie_somewhere(method: Method, count: int, kind: str) -> None:
    codes = {
        "different": np.random.default_rng(0).normal(size=(count, 12)),
        "equal": np.ones((count, 12)),
        "zero": np.zeros((count, 12)),
    }[kind].astype(np.float16)
    found = project(codes, method=method)
    assert found.positions.shape == (count, 2)
    assert found.positions.dtype == np.float32
    assert np.isfinite(found.positions).all()
    placed = found.place(codes[:1])
    assert placed.shape == (1, 2)
    assert np.isfinite(placed).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_codes_that_are_not_finite_are_named(bad: float) -> None:
    codes = np.ones((6, 4))
    codes[4, 2] = bad
    with pytest.raises(LayerError, match="code 4 holds NaN or infinity"):
        project(codes)
    with pytest.raises(LayerError, match="code 4"):
        project(np.eye(6, 4), method="pca").place(codes)


def test_bad_options_are_named() -> None:
    with pytest.raises(ConvscopeError, match=r"unknown method 'tsne'; nearest: t-sne"):
        project(np.eye(5), method="tsne")  # type: ignore[arg-type]
    with pytest.raises(ConvscopeError, match="perplexity=0"):
        project(np.eye(5), perplexity=0)
    with pytest.raises(ConvscopeError, match="limit=0"):
        project(np.eye(5), limit=0)
    with pytest.raises(LayerError, match="an image at least"):
        project(np.zeros((0, 5)))
    with pytest.raises(LayerError, match=r"expected \(images, 5\)"):
        project(np.eye(5), method="pca").place(np.eye(4))


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("openTSNE", "umap"):
        monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(MissingExtra, match=r"convscope\[scan\]"):
        project(np.eye(8))
    with pytest.raises(MissingExtra, match=r"convscope\[umap\]"):
        project(np.eye(8), method="umap")


def test_t_sne_keeps_planted_clusters_and_neighbours_apart() -> None:
    codes, kinds = clusters(300)
    found = project(codes)
    assert knn_accuracy(found.positions, kinds.tolist()) == 1.0
    by_chance = 10 / 299
    assert kept_neighbours(codes, found.positions, normalize=True) > 5 * by_chance


def test_t_sne_is_the_same_each_time_and_another_by_another_seed() -> None:
    codes, _ = clusters(120)
    first, again, other = (project(codes, seed=seed).positions for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1


def test_codes_are_compared_by_their_angle() -> None:
    codes, _ = clusters(60)
    lengths = np.random.default_rng(1).uniform(0.5, 2, size=(60, 1))
    np.testing.assert_allclose(
        project(codes * lengths, method="pca").positions, project(codes, method="pca").positions, atol=1e-5
    )
    plain = [project(each, method="pca", normalize=False).positions for each in (codes, codes * lengths)]
    assert np.abs(plain[0] - plain[1]).max() > 0.1


def test_new_codes_are_placed_among_their_like_each_by_itself() -> None:
    codes, kinds = clusters(340)
    found = project(codes[:300])
    before = found.positions.copy()
    placed = found.place(codes[300:])
    both = np.concatenate([found.positions, placed])
    near = [kinds[found.positions.shape[0] + at] == kinds[row] for at, row in enumerate(_nearest(both, 300))]
    assert np.mean(near) == 1.0
    np.testing.assert_array_equal(found.place(codes[305:306])[0], placed[5])
    np.testing.assert_array_equal(found.positions, before)
    # What was fitted is placed about where it lies.
    span = np.ptp(found.positions, axis=0).max()
    assert np.abs(found.place(codes[:20]) - found.positions[:20]).max() < 0.05 * span


def _nearest(places: NDArray[Any], fitted: int) -> list[int]:
    away = ((places[fitted:, None] - places[None, :fitted]) ** 2).sum(-1)
    rows: list[int] = away.argmin(1).tolist()
    return rows


def test_beyond_the_limit_a_sample_is_fitted_and_the_rest_placed() -> None:
    codes, kinds = clusters(400)
    seen: list[Progress] = []
    found = project(codes, limit=150, progress=seen.append)
    assert found.positions.shape == (400, 2)
    assert knn_accuracy(found.positions, kinds.tolist()) == 1.0
    assert (seen[-1].done, seen[-1].total) == (751, 751)
    np.testing.assert_array_equal(found.positions, project(codes, limit=150).positions)


def test_a_watcher_is_told_of_each_ten_steps_and_can_stop() -> None:
    codes, _ = clusters(60)
    seen: list[int] = []

    def watch(progress: Progress) -> bool:
        seen.append(progress.done)
        return progress.done < 30

    with pytest.raises(cs.Cancelled, match="after 30 of 750"):
        project(codes, progress=watch)
    assert seen == [10, 20, 30]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_umap_keeps_planted_clusters_and_places_new_codes() -> None:
    pytest.importorskip("umap", reason="needs umap-learn")
    codes, kinds = clusters(220)
    found = project(codes[:200], method="umap")
    assert knn_accuracy(found.positions, kinds[:200].tolist()) == 1.0
    both = np.concatenate([found.positions, found.place(codes[200:])])
    assert all(kinds[200 + at] == kinds[row] for at, row in enumerate(_nearest(both, 200)))
    np.testing.assert_array_equal(found.positions, project(codes[:200], method="umap").positions)
    for few in (np.ones((2, 8)), np.ones((5, 8)), np.eye(4)):
        assert np.isfinite(project(few, method="umap").positions).all()


@given(count=st.integers(3, 60), k=st.integers(1, 6), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=30)
def test_nearest_others_and_accuracy_against_slow_twins(count: int, k: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    k = min(k, count - 1)
    codes, labels = random.normal(size=(count, 6)), random.integers(0, 3, count).tolist()
    labels[:2] = [0, 1]
    right = 0
    found = nearest_others(codes, k)
    for row in range(count):
        away = ((codes - codes[row]) ** 2).sum(1)
        away[row] = np.inf
        order = np.argsort(away)[:k].tolist()
        assert found[row].tolist() == order
        votes = [labels[other] for other in order]
        right += max(votes, key=lambda vote: (votes.count(vote), -votes.index(vote))) == labels[row]
    assert knn_accuracy(codes, labels, k) == pytest.approx(right / count)


def test_neighbourhoods_need_codes_and_labels() -> None:
    with pytest.raises(ConvscopeError, match="2 labels for 3 codes"):
        knn_accuracy(np.eye(3), ["a", "b"], 1)
    with pytest.raises(ConvscopeError, match="missing, or all alike"):
        knn_accuracy(np.eye(3), ["a", "a", "a"], 1)
    with pytest.raises(ConvscopeError, match="k=3 and 3 codes"):
        knn_accuracy(np.eye(3), ["a", "b", "a"], 3)
    with pytest.raises(ConvscopeError, match="2 places for 3 codes"):
        kept_neighbours(np.eye(3), np.eye(2), 1)


def test_neighbours_are_the_same_in_small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    codes, _ = clusters(50)
    whole = nearest_others(codes, 4, normalize=True)
    monkeypatch.setattr("convscope.scanning.neighbourhood._AT_ONCE", 120)
    np.testing.assert_array_equal(nearest_others(codes, 4, normalize=True), whole)


def test_large_numbers_of_codes_use_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projecting, "_EXACT", 50)
    codes, kinds = clusters(200)
    assert knn_accuracy(project(codes).positions, kinds.tolist()) == 1.0
