"""How well codes, or places on a map, keep classes and neighbours together."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convscope.errors import ConvscopeError

_AT_ONCE = 1 << 24
"""Distances that are held at once, in single precision."""


def knn_accuracy(codes: NDArray[Any], labels: Sequence[Any], k: int = 5, *, normalize: bool = False) -> float:
    """How often the `k` nearest others of a code (n, C) agree on its own label, by their majority.

    Each code is left out in its turn. Nearest is by Euclidean distance, between codes of length 1 if `normalize`d; of
    labels that are as frequent, the one whose code is nearest wins. What it says of a map in the plane (n, 2) can be
    held against what it says of the codes. Raises ConvscopeError for other than one label each, a label None, labels
    that are all alike, or not more codes than `k`.

    >>> knn_accuracy(np.array([[0.0], [0.1], [5.0], [5.1]]), ["a", "a", "b", "b"], k=1)
    1.0
    """
    if len(labels) != len(codes):
        raise ConvscopeError(f"{len(labels)} labels for {len(codes)} codes; expected one for each")
    if None in labels or len(set(labels)) < 2:
        raise ConvscopeError("labels that are missing, or all alike; expected a label for each code, and two at least")
    names = {label: place for place, label in enumerate(dict.fromkeys(labels))}
    own = np.array([names[label] for label in labels])
    votes = own[nearest_others(codes, k, normalize=normalize)]
    same = (votes[:, :, None] == votes[:, None, :]).sum(axis=2)
    winner = votes[np.arange(len(votes)), same.argmax(axis=1)]
    return float((winner == own).mean())


def kept_neighbours(codes: NDArray[Any], places: NDArray[Any], k: int = 10, *, normalize: bool = False) -> float:
    """The share of the `k` nearest others of each code (n, C) that are among its `k` nearest places (n, 2), too.

    Raises ConvscopeError as `knn_accuracy` does.

    >>> kept_neighbours(np.array([[0.0], [1.0], [3.0]]), np.array([[5.0, 5.0], [5.0, 4.0], [5.0, 2.0]]), k=1)
    1.0
    """
    if len(codes) != len(places):
        raise ConvscopeError(f"{len(places)} places for {len(codes)} codes; expected one for each")
    there, here = nearest_others(codes, k, normalize=normalize), nearest_others(places, k)
    return float((there[:, :, None] == here[:, None, :]).any(axis=2).mean())


def nearest_others(codes: NDArray[Any], k: int, *, normalize: bool = False) -> NDArray[np.int64]:
    """The rows (n, k) of the codes nearest to each, itself left out, the nearest first.

    In bounded memory. Raises ConvscopeError where there are not more codes than `k`, or `k` is below 1.
    """
    if not 1 <= k < len(codes):
        raise ConvscopeError(f"got k={k} and {len(codes)} codes; expected 1 or more, and fewer than the codes")
    points = torch.from_numpy(np.asarray(codes, dtype=np.float32))
    points = torch.nn.functional.normalize(points, dim=1) if normalize else points - points.mean(0)
    squares = (points**2).sum(1)
    rows = max(1, _AT_ONCE // len(points))
    found = [_nearest(points, squares, start, rows, k) for start in range(0, len(points), rows)]
    return torch.cat(found).numpy()


def _nearest(points: Tensor, squares: Tensor, start: int, rows: int, k: int) -> Tensor:
    block = points[start : start + rows]
    away = squares - 2 * block @ points.T
    own = torch.arange(len(block))
    away[own, own + start] = torch.inf
    return away.topk(k, largest=False).indices
