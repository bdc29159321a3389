"""How long a search for neighbours takes among many codes: exactly, with the shortcut that comes with use, by an index.

Codes are random with the spectrum that EfficientNet-Lite0's last vectors of photographs have: the length in direction
i falls as i^-0.4 to the hundredth and as i^-0.8 from there. Queries are further codes of the same kind.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.timing import milliseconds, print_table
from convscope.scanning import search
from convscope.scanning.search import Search, approximate, make_index

GOAL = 0.030
NEIGHBOURS = 6
AMONG = 10

_Result = TypeVar("_Result")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--channels", type=int, default=1280)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument(
        "--no-index", action="store_true", help="leave out LanceDB's index, which takes minutes to make"
    )
    arguments = parser.parse_args()
    codes = _codes(arguments.rows + arguments.queries, arguments.channels)
    stored, queries = codes[: arguments.rows], codes[arguments.rows :].astype(np.float32)
    print(f"{len(stored):,} codes of {stored.shape[1]} float16 numbers, {stored.nbytes / 1e6:.0f} MB; ", end="")
    print(f"{torch.get_num_threads()} threads; {NEIGHBOURS} neighbours by cosine, one query at a time")
    rows, exact = _exact(stored, queries)
    if not arguments.no_index:
        rows.append(_by_index(stored, queries, exact))
    print_table(["", "made in", "p50", "p95", "goal", f"recall@{AMONG}"], rows)


def _codes(rows: int, channels: int) -> NDArray[np.float16]:
    generator = torch.Generator().manual_seed(0)
    directions = torch.linalg.qr(torch.randn(channels, channels, generator=generator))[0]
    places = torch.arange(1, channels + 1, dtype=torch.float32)
    lengths = torch.where(places <= 100, places**-0.4, 100**0.4 * places**-0.8)
    codes = np.empty((rows, channels), np.float16)
    for begin in range(0, rows, 8192):
        some = torch.randn(min(8192, rows - begin), channels, generator=generator) * lengths
        codes[begin : begin + len(some)] = (some @ directions.T).half().numpy()
    return codes


def _exact(codes: NDArray[np.float16], queries: NDArray[np.float32]) -> tuple[list[list[str]], NDArray[np.int64]]:
    """The rows of the table for exact search, and the nearest of each query."""
    made, found = _timed(lambda: Search(codes))
    first = _seconds(found, queries[: search._OFTEN])
    shortcut, _ = _timed(lambda: found.nearest(queries[:1], NEIGHBOURS))
    then = _seconds(found, queries)
    together, (_, rows) = _timed(lambda: found.nearest(queries, AMONG))
    return [
        _row("exact, at first", made, first, "1"),
        _row("exact, with its shortcut", shortcut, then, "1"),
        [f"exact, {len(queries)} at once, each", "", milliseconds(together / len(queries)), "", "", "1"],
    ], rows


def _seconds(found: Search, queries: NDArray[np.float32]) -> list[float]:
    return [_timed(lambda: found.nearest(query[None], NEIGHBOURS))[0] for query in queries]  # noqa: B023


def _by_index(codes: NDArray[np.float16], queries: NDArray[np.float32], exact: NDArray[np.int64]) -> list[str]:
    import lancedb
    import pyarrow as pa

    with tempfile.TemporaryDirectory() as folder:
        column = pa.FixedSizeListArray.from_arrays(pa.array(codes.ravel()), codes.shape[1])
        ids = pa.array(np.arange(len(codes)))
        table = lancedb.connect(folder).create_table("codes", pa.table({"id": ids, "code": column}))
        made, _ = _timed(lambda: make_index(table, "code"))
        approximate(table, "code", queries[:1], AMONG)
        each = [_timed(lambda: approximate(table, "code", query[None], AMONG)) for query in queries]  # noqa: B023
    shared = [len(set(found[1][0]) & set(rows)) / AMONG for (_, found), rows in zip(each, exact, strict=True)]
    return _row("LanceDB's IVF-PQ", made, [seconds for seconds, _ in each], f"{np.mean(shared):.2f}")


def _row(name: str, made: float, seconds: list[float], recall: str) -> list[str]:
    p50, p95 = np.percentile(seconds, [50, 95])
    return [name, f"{made:.1f} s", milliseconds(float(p50)), milliseconds(float(p95)), milliseconds(GOAL), recall]


def _timed(function: Callable[[], _Result]) -> tuple[float, _Result]:
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


if __name__ == "__main__":
    main()
