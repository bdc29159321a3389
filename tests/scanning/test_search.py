"""Search against distances by their definition, in double precision."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from convscope.errors import ConvscopeError
from convscope.scanning import search
from convscope.scanning.search import Metric, Search, approximate, make_index

METRICS: tuple[Metric, ...] = ("cosine", "l2")


def twin(codes: NDArray[Any], query: NDArray[Any], metric: Metric) -> NDArray[np.float64]:
    """Each distance by itself."""
    found = []
    for code in codes.astype(np.float64):
        if not np.isfinite(code).all():
            found.append(np.inf)
            continue
        lengths = float(np.linalg.norm(code) * np.linalg.norm(query.astype(np.float64)))
        if metric == "l2":
            found.append(float(np.linalg.norm(code - query)))
        else:
            found.append(1 - float(code @ query) / lengths if lengths > 0 else 1.0)
    return np.array(found)


@pytest.fixture
def shortcut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every search takes the shortcut from the first time on."""
    for name in ("_OFTEN", "_LARGE", "_WIDE"):
        monkeypatch.setattr(search, name, 0)


def clustered(rows: int, width: int, seed: int = 0) -> NDArray[np.float16]:
    random = np.random.default_rng(seed)
    centres = random.standard_normal((12, width)) * np.arange(1, width + 1) ** -0.5
    return (centres[random.integers(0, 12, rows)] + 0.2 * random.standard_normal((rows, width))).astype(np.float16)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("scale", [1, 1e-4, 3e3])
def test_it_finds_what_the_definition_finds(metric: Metric, scale: float) -> None:
    codes = (clustered(900, 48).astype(np.float32) * scale).astype(np.float16)
    queries = (clustered(6, 48, seed=1).astype(np.float32) * scale).astype(np.float32)
    distances, rows = Search(codes, metric).nearest(queries, 9)
    assert (str(distances.dtype), str(rows.dtype), rows.shape) == ("float32", "int64", (6, 9))
    for at, query in enumerate(queries):
        wanted = twin(codes, query, metric)
        np.testing.assert_array_equal(rows[at], np.argsort(wanted, kind="stable")[:9])
        np.testing.assert_allclose(distances[at], wanted[rows[at]], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.usefixtures("shortcut")
def test_the_shortcut_changes_nothing(metric: Metric, monkeypatch: pytest.MonkeyPatch) -> None:
    codes, queries = clustered(900, 64), clustered(20, 64, seed=1).astype(np.float32)
    looked_at: list[int] = []
    exact = Search._exact

    def counted(self: Search, query: NDArray[Any], rows: NDArray[Any]) -> NDArray[Any]:
        looked_at.append(len(rows))
        return exact(self, query, rows)

    monkeypatch.setattr(Search, "_exact", counted)
    short = Search(codes, metric)
    found = short.nearest(queries, 5)
    assert short._shortcut is not None
    assert np.mean(looked_at) < 500  # of 900, so that it is one
    for at, query in enumerate(queries):
        wanted = twin(codes, query, metric)
        np.testing.assert_array_equal(found[1][at], np.argsort(wanted, kind="stable")[:5])


@settings(max_examples=60, deadline=None)
@given(data=st.data(), metric=st.sampled_from(METRICS), short=st.booleans())
def test_the_nearest_are_those_of_the_definition_whatever_the_codes(
    data: st.DataObject, metric: Metric, short: bool
) -> None:
    rows, width = data.draw(st.integers(1, 40)), data.draw(st.integers(8, 16))
    numbers = st.sampled_from([0.0, 1.0, -1.0, 0.5, 6.0, 65504.0, 6e-8, np.nan, np.inf])
    codes = np.array(data.draw(st.lists(numbers, min_size=rows * width, max_size=rows * width)), dtype=np.float16)
    codes = codes.reshape(rows, width)
    query = np.array(data.draw(st.lists(st.sampled_from([0.0, 1.0, -2.0, 300.0]), min_size=width, max_size=width)))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_OFTEN", "_LARGE", "_WIDE"):
            patch.setattr(search, name, 0 if short else 2**40)
        distances, found = Search(codes, metric).nearest(query[None], 5)
    wanted = twin(codes, query, metric)
    np.testing.assert_allclose(distances[0], np.sort(wanted)[:5], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(wanted[found[0]], distances[0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_equal_distances_go_by_row(metric: Metric) -> None:
    codes = np.tile(clustered(1, 40), (700, 1))
    distances, rows = Search(codes, metric).nearest(clustered(1, 40, seed=2), 12)
    assert rows[0].tolist() == list(range(12))
    assert len(set(distances[0].tolist())) == 1


def test_codes_are_not_copied_and_a_shortcut_comes_with_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "_LARGE", 0)
    monkeypatch.setattr(search, "_WIDE", 0)
    codes = clustered(300, 32)
    asked = Search(codes)
    assert asked._rows.data_ptr() == codes.ctypes.data
    for _ in range(search._OFTEN):
        asked.nearest(codes[:1], 1)
    assert asked._shortcut is None
    assert asked.nearest(codes[7:8], 1)[1].tolist() == [[7]]
    assert asked._shortcut is not None


def test_fewer_codes_than_asked_for_are_all_given() -> None:
    distances, rows = Search(clustered(3, 8)).nearest(clustered(2, 8), 10)
    assert distances.shape == rows.shape == (2, 3)
    assert Search(np.zeros((0, 8), dtype=np.float16)).nearest(clustered(2, 8), 1)[1].shape == (2, 0)


@pytest.mark.parametrize(
    ("queries", "k", "message"),
    [
        (np.zeros((1, 7)), 1, r"queries of shape \(1, 7\), expected \(m, 8\)"),
        (np.zeros(8), 1, r"expected \(m, 8\)"),
        (np.full((1, 8), np.nan), 1, "NaN or infinity"),
        (np.zeros((1, 8)), 0, "k=0, expected how many neighbours, at least 1"),
    ],
)
def test_bad_questions_are_refused(queries: NDArray[Any], k: int, message: str) -> None:
    with pytest.raises(ConvscopeError, match=message):
        Search(clustered(3, 8)).nearest(queries, k)


def test_unknown_metrics_and_codes_that_are_no_matrix_are_refused() -> None:
    with pytest.raises(ConvscopeError, match="unknown metric 'cosin'; nearest: cosine"):
        Search(clustered(3, 8), "cosin")  # type: ignore[arg-type]
    with pytest.raises(ConvscopeError, match=r"expected \(n, C\)"):
        Search(np.zeros(3, dtype=np.float16))


@pytest.mark.parametrize("metric", METRICS)
def test_the_index_finds_nine_of_ten_and_tells_right_distances(metric: Metric, tmp_path: Path) -> None:
    lancedb = pytest.importorskip("lancedb", reason="needs LanceDB, of the extra `scan`")
    pa = pytest.importorskip("pyarrow", reason="needs PyArrow, of the extra `scan`")
    codes, queries = clustered(3000, 40), clustered(30, 40, seed=1).astype(np.float32)
    column = pa.FixedSizeListArray.from_arrays(pa.array(codes.ravel()), 40)
    rows = pa.table({"id": pa.array(np.arange(3000)[::-1] * 2), "code": column})
    table = lancedb.connect(tmp_path).create_table("codes", rows)
    make_index(table, "code", metric)
    make_index(table, "code", metric)
    assert [each.index_type for each in table.list_indices()] == ["IvfPq"]
    distances, ids = approximate(table, "code", queries, 10, metric)
    exact, rows = Search(codes, metric).nearest(queries, 10)
    wanted = 2 * (2999 - rows)
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(ids, wanted, strict=True)])
    assert recall >= 0.9
    same = ids == wanted
    np.testing.assert_allclose(distances[same], exact[same], rtol=1e-6)
    assert (np.diff(distances, axis=1) >= 0).all()
