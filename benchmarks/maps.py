"""Maps of codes: our t-SNE against scikit-learn's, in time and in how many neighbours and classes stay together.

The codes are made up: 20 classes, each around a centre and along 20 directions of its own, without anything negative,
as codes behind a rectifier are. Both methods are given the same codes of length 1 and the same perplexity; ours sees 50
of their principal components, scikit-learn's all channels and, in a row of its own, the same 50.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.timing import print_table
from convscope.scanning.layout import grid_cells
from convscope.scanning.neighbourhood import kept_neighbours, knn_accuracy
from convscope.scanning.pca import pca
from convscope.scanning.projection import project

CLASSES = 20
WIDTH = 20


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.maps", description=__doc__)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--channels", type=int, default=1280)
    parser.add_argument("--ours", action="store_true", help="leave scikit-learn out")
    arguments = parser.parse_args()
    codes, labels = made_up(arguments.images, arguments.channels)
    ways: dict[str, Callable[[], NDArray[Any]]] = {
        "convscope t-sne": lambda: project(codes).positions,
        "convscope pca": lambda: project(codes, method="pca").positions,
    }
    if not arguments.ours:
        ways["scikit-learn, 50 components"] = lambda: scikit_learn(pca(codes, 50, normalize=True).place(codes))
        ways["scikit-learn, all channels"] = lambda: scikit_learn(codes / np.linalg.norm(codes, axis=1, keepdims=True))
    print(f"{arguments.images:,} codes of {arguments.channels:,} channels\n", flush=True)
    rows = [_measured(name, way, codes, labels) for name, way in ways.items()]
    print_table(["", "wall", "of 10 neighbours kept", "5-NN accuracy in the plane"], rows)
    _grid(codes)


def made_up(count: int, channels: int) -> tuple[NDArray[np.float32], list[int]]:
    """Codes (n, C), and the class of each."""
    random = np.random.default_rng(0)
    labels = random.integers(0, CLASSES, count)
    centres = random.normal(size=(CLASSES, channels))
    directions = random.normal(size=(CLASSES, WIDTH, channels)) / np.sqrt(WIDTH)
    along = random.normal(size=(count, WIDTH))
    codes = centres[labels] + 0.5 * random.normal(size=(count, channels))
    for label in range(CLASSES):
        codes[labels == label] += 1.5 * along[labels == label] @ directions[label]
    return np.maximum(codes, 0).astype(np.float32), labels.tolist()


def scikit_learn(codes: NDArray[Any]) -> NDArray[Any]:
    from sklearn.manifold import TSNE

    found: NDArray[Any] = TSNE(random_state=0).fit_transform(codes)
    return found


def _measured(name: str, way: Callable[[], NDArray[Any]], codes: NDArray[Any], labels: list[int]) -> list[str]:
    start = time.perf_counter()
    places = way()
    took = time.perf_counter() - start
    kept, accuracy = kept_neighbours(codes, places, normalize=True), knn_accuracy(places, labels)
    return [name, f"{took:.1f} s", f"{kept:.1%}", f"{accuracy:.1%}"]


def _grid(codes: NDArray[Any]) -> None:
    places = project(codes[:2000]).positions
    rows = []
    for name, exact in (("exact", len(places)), ("by tiles", 500)):
        start = time.perf_counter()
        cells = grid_cells(places, exact=exact)
        took = time.perf_counter() - start
        span = np.ptp(places, axis=0)
        shape = cells.max(axis=0) + 1
        away = (places - places.min(axis=0)) / span - (cells[:, ::-1] + 0.5) / shape[::-1]
        rows.append([name, f"{took:.1f} s", f"{(away**2).sum():.2f}"])
    print(f"\na grid of the first {len(places):,}\n")
    print_table(["", "wall", "sum of squares"], rows)


if __name__ == "__main__":
    main()
