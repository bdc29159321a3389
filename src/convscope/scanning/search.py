"""Exact search for the nearest of many codes, and approximate search where there are too many for that."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convscope.errors import ConvscopeError, nearest

if TYPE_CHECKING:
    from lancedb.table import Table

Metric = Literal["cosine", "l2"]

_BLOCK = 256
"""Rows that are turned into float32 at a time: they stay in the processor's cache, so a pass reads 2 bytes a number."""

_SCORES = 2**24
"""How many scores of rows are held at a time."""

_OFTEN = 16
"""After so many searches a shortcut has been worth its making, which takes about as long as they did."""

_LARGE = 2**24
_WIDE = 128

EXACT_ROWS = 100_000
"""So many rows are searched exactly; beyond, an index is asked."""

_PROBED = 0.1
_REFINED = 20
_EPSILON = float(np.finfo(np.float32).eps)


def check_metric(metric: str) -> Metric:
    """The metric itself; ConvscopeError if it is none of those known."""
    for known in get_args(Metric):
        if metric == known:
            return known  # type: ignore[no-any-return]
    raise ConvscopeError(f"unknown metric {metric!r}; {nearest(str(metric), get_args(Metric))}")


class Search:
    """The nearest of `codes` (n, C), which are kept as they are given: float16 and without a copy is best.

    The metric is "cosine", 1 − x·y / (|x| |y|), in [0, 2] and 1 to a code of zeros; or "l2", |x − y|. Distances are
    computed in double precision, and equal ones go by row, so that the answer is that of the definition. Only few rows
    come to that: float32 products of all codes with the query, and a bound on their rounding, tell which can't be
    among the nearest.

    A matrix that is asked often gets a shortcut: the codes in the few directions that most of them lie in, and what is
    left of each as its length alone. By Cauchy and Schwarz x·y ≤ Px·Py + |x − Px| |y − Py|, which leaves out most rows
    without a look at them. It takes C/8 more float32 numbers a row, a quarter of what the codes take.

    Codes that hold NaN or infinity are at distance infinity.

    >>> search = Search(np.eye(3, dtype=np.float16), metric="l2")
    >>> distances, rows = search.nearest(np.array([[0.0, 0.9, 0.1]]), k=2)
    >>> rows.tolist()
    [[1, 2]]
    """

    def __init__(self, codes: NDArray[Any], metric: Metric = "cosine") -> None:
        if codes.ndim != 2:
            raise ConvscopeError(f"got codes of shape {codes.shape}, expected (n, C): one row an image")
        self.metric = check_metric(metric)
        # Torch warns of memory that it may not write to.
        self.codes = codes if codes.flags.writeable else codes.copy()
        self._rows = torch.from_numpy(self.codes)
        self._lengths = self._row_lengths()
        self._shortcut: _Shortcut | None = None
        self._asked = 0

    def __len__(self) -> int:
        return len(self.codes)

    def nearest(self, queries: NDArray[Any], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The k nearest of each of `queries` (m, C): distances and rows (m, k), nearest first; all where n < k.

        Raises ConvscopeError for queries of another width, for such that are not finite, and for k < 1.
        """
        queries = np.asarray(queries, dtype=np.float32)
        if queries.ndim != 2 or queries.shape[1] != self.codes.shape[1]:
            raise ConvscopeError(f"got queries of shape {queries.shape}, expected (m, {self.codes.shape[1]})")
        if not np.isfinite(queries).all():
            raise ConvscopeError("a query holds NaN or infinity, expected finite numbers: what gave that code?")
        if k < 1:
            raise ConvscopeError(f"got k={k}, expected how many neighbours, at least 1")
        self._make_shortcut()
        k = min(k, len(self))
        distances = np.empty((len(queries), k), dtype=np.float32)
        rows = np.empty((len(queries), k), dtype=np.int64)
        size = max(1, _SCORES // max(1, len(self)))
        for begin in range(0, len(queries) if k else 0, size):
            some = torch.from_numpy(queries[begin : begin + size])
            bounds = self._bounds(some)
            for at, query in enumerate(queries[begin : begin + size]):
                distances[begin + at], rows[begin + at] = self._nearest(query, bounds[at], k)
        return distances, rows

    def _make_shortcut(self) -> None:
        self._asked += 1
        if (
            self._shortcut is None
            and self._asked > _OFTEN
            and self.codes.size >= _LARGE
            and self.codes.shape[1] >= _WIDE
        ):
            self._shortcut = _Shortcut(self._rows, self._lengths)

    def _row_lengths(self) -> Tensor:
        """|x| of each row (n,), infinite for those that hold anything that is no finite number."""
        lengths = torch.empty(len(self.codes))
        for begin, block in _blocks(self._rows):
            lengths[begin : begin + len(block)] = torch.linalg.vector_norm(block, dim=1)
        return lengths.nan_to_num(nan=torch.inf, posinf=torch.inf)

    def _bounds(self, queries: Tensor) -> Tensor:
        """Lower bounds (m, n) of what `_exact` orders by, by products in float32."""
        if self._shortcut is not None:
            products = self._shortcut.bounds(queries)
        else:
            products = torch.empty(len(queries), len(self))
            for begin, block in _blocks(self._rows):
                torch.matmul(queries, block.T, out=products[:, begin : begin + len(block)])
        return self._from_products(queries, products, self._lengths)

    def _tight_bounds(self, query: Tensor, rows: Tensor) -> Tensor:
        """The same of some rows for one query (1, C), without the shortcut."""
        products = torch.empty(1, len(rows))
        buffer = torch.empty(_BLOCK, query.shape[1])
        for begin in range(0, len(rows), _BLOCK):
            some = rows[begin : begin + _BLOCK]
            block = buffer[: len(some)].copy_(self._rows[some])
            products[:, begin : begin + len(some)] = query @ block.T
        return self._from_products(query, products, self._lengths[rows])[0]

    def _from_products(self, queries: Tensor, products: Tensor, lengths: Tensor) -> Tensor:
        own = torch.linalg.vector_norm(queries, dim=1)[:, None]
        # The rounding of a product of C numbers, and of those that follow, in units of |x| |y|.
        rounding = (queries.shape[1] + 8) * _EPSILON
        if self.metric == "cosine":
            scale = own * lengths
            bounds = torch.where(scale > 0, 1 - products / scale, 1) - rounding
        else:
            bounds = lengths.square() + own.square() - 2 * products - 2 * rounding * (lengths + own).square()
        return bounds.masked_fill_(lengths.isinf(), torch.inf).nan_to_num_(nan=-torch.inf, posinf=torch.inf)

    def _nearest(self, query: NDArray[np.float32], bounds: Tensor, k: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Distances and rows (k,): those of the lowest bounds are looked at first, until none can be as near."""
        first = torch.topk(bounds, min(len(self), 2 * k + 32), largest=False, sorted=False).indices.numpy()
        limit = np.partition(self._exact(query, first), k - 1)[k - 1]
        left = torch.nonzero(bounds <= limit)[:, 0]
        tight = bounds[left] if self._shortcut is None else self._tight_bounds(torch.from_numpy(query)[None], left)
        least, order = (each.numpy() for each in tight.sort(stable=True))
        rows: NDArray[np.int64] = left.numpy()[order]
        parts: list[NDArray[np.float64]] = []
        seen = 0
        while seen < len(rows) and least[seen] <= limit:
            parts.append(self._exact(query, rows[seen : seen + _BLOCK]))
            seen += _BLOCK
            nearest = np.concatenate(parts)
            if len(nearest) >= k:
                parts = [nearest]
                limit = min(limit, np.partition(nearest, k - 1)[k - 1])
        found = np.concatenate(parts)
        best = np.lexsort((rows[: len(found)], found))[:k]
        ordered = found[best]
        return ordered if self.metric == "cosine" else np.sqrt(ordered), rows[best]

    def _exact(self, query: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Cosine distances, or squares of L2, of these rows to a query (C,), in float64."""
        wanted = query.astype(np.float64)
        found = np.empty(len(rows))
        for begin in range(0, len(rows), _BLOCK):
            codes = self.codes[rows[begin : begin + _BLOCK]].astype(np.float64)
            with np.errstate(invalid="ignore"):
                found[begin : begin + _BLOCK] = _distances(codes, wanted, self.metric)
        return found


def _distances(codes: NDArray[np.float64], query: NDArray[np.float64], metric: Metric) -> NDArray[np.float64]:
    """By definition, row by row, so that equal rows are at equal distances; infinity for what is not finite."""
    if metric == "l2":
        found = np.square(codes - query).sum(axis=1)
    else:
        scale = np.sqrt(np.square(codes).sum(axis=1) * np.square(query).sum())
        cosines = (codes * query).sum(axis=1) / np.where(scale > 0, scale, 1)
        found = 1 - np.clip(cosines, -1, 1)
    return np.where(np.isfinite(codes).all(axis=1), found, np.inf)


def _blocks(rows: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Where each block begins, and the block (≤ 256, C) in float32, in one buffer that is used again."""
    buffer = torch.empty(_BLOCK, rows.shape[1])
    for begin in range(0, len(rows), _BLOCK):
        block = rows[begin : begin + _BLOCK]
        yield begin, buffer[: len(block)].copy_(block)


class _Shortcut:
    """Codes (n, C) in the C/8 directions in which most of their length is, and the length of what is left."""

    _SAMPLE = 8192

    def __init__(self, rows: Tensor, lengths: Tensor) -> None:
        width = rows.shape[1]
        finite = torch.nonzero(lengths.isfinite() & (lengths > 0))[:, 0]
        sample = finite[:: max(1, len(finite) // self._SAMPLE)]
        moments = torch.zeros(width, width)
        for begin in range(0, len(sample), 1024):
            some = sample[begin : begin + 1024]
            codes = rows[some].float() / lengths[some, None]
            moments += codes.T @ codes
        # In double precision, or the directions are not orthonormal enough for a bound.
        self._directions = torch.linalg.eigh(moments.double()).eigenvectors[:, -(width // 8) :].float()
        self._parts = torch.empty(len(rows), width // 8 + 1)
        for begin, block in _blocks(rows):
            self._parts[begin : begin + len(block)] = self._split(block)

    def _split(self, codes: Tensor) -> Tensor:
        """The part of codes (m, C) in the directions, and the length of the rest at most: (m, C/8 + 1)."""
        inside = codes @ self._directions
        left = codes.square().sum(dim=1) * (1 + 2 * codes.shape[1] * _EPSILON) - inside.square().sum(dim=1)
        return torch.cat([inside, left.clamp(min=0).sqrt()[:, None]], dim=1)

    def bounds(self, queries: Tensor) -> Tensor:
        """What the products (m, n) of the queries (m, C) with the codes are at most."""
        return self._split(queries) @ self._parts.T


def make_index(table: "Table", column: str, metric: Metric = "cosine") -> None:
    """Give a column of codes, float16 lists of one length, an IVF-PQ index for `approximate`, unless it has one.

    Codes are put to the nearest of √n centres, and kept there as the nearest of 256 patterns for each eight numbers
    (Jégou, Douze and Schmid, 2011). Takes 256 rows at least.
    """
    from lancedb.index import IvfPq

    name = f"{column}_{metric}"
    if any(each.name == name for each in table.list_indices()):
        return
    width = table.schema.field(column).type.list_size
    step = next(step for step in (8, 4, 2, 1) if width % step == 0)
    config = IvfPq(
        distance_type=check_metric(metric),
        num_partitions=max(1, round(table.count_rows() ** 0.5)),
        num_sub_vectors=width // step,
        # Of the defaults, 256 and 50, the index took over ten minutes for 100,000 codes of 1,280 numbers.
        sample_rate=64,
        max_iterations=12,
    )
    table.create_index(column, config=config, name=name, replace=False)


def approximate(
    table: "Table", column: str, queries: NDArray[Any], k: int, metric: Metric = "cosine", *, where: str | None = None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The k nearest of each of `queries` (m, C) in a column of a LanceDB table: distances and the column `id` (m, k).

    A tenth of the index's centres is looked through; of the 20 k that seem nearest the codes themselves are read, so
    that the distances are right, but a neighbour may be missed. `where`, in SQL, says which rows count. Memory is
    a few codes, however long the table is.
    """
    probes = max(20, round(_PROBED * table.count_rows() ** 0.5))
    distances, ids = [], []
    for query in np.asarray(queries, dtype=np.float32):
        asked: Any = table.search(query, vector_column_name=column)
        asked = asked.distance_type(check_metric(metric))
        if where is not None:
            asked = asked.where(where, prefilter=True)
        found = asked.nprobes(probes).refine_factor(_REFINED).limit(k).select(["id", column, "_distance"]).to_arrow()
        flat = found[column].combine_chunks().flatten().to_numpy()
        exact = _distances(flat.reshape(len(found), -1).astype(np.float64), query.astype(np.float64), metric)
        own = found["id"].to_numpy()
        order = np.lexsort((own, exact))
        distances.append((exact if metric == "cosine" else np.sqrt(exact))[order].astype(np.float32))
        ids.append(own[order].astype(np.int64))
    return np.stack(distances), np.stack(ids)
