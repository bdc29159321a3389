"""Codes in a plane: t-SNE, UMAP or principal components, each with a way to place codes that come later."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from convscope.errors import ConvscopeError, LayerError, MissingExtra, nearest
from convscope.progress import Steps, Watcher
from convscope.scanning.pca import Codes, Principal, pca

Method = Literal["t-sne", "umap", "pca"]
Positions = NDArray[np.float32]

FITTED = 1_000_000
"""Codes beyond which a sample is fitted and the others are placed."""

_KEPT = 50
"""Principal components that t-SNE and UMAP see."""
_STEPS, _EVERY = 750, 10
"""Steps of openTSNE's defaults, 250 of them exaggerated; a watcher is told of every tenth."""
_EXACT = 50_000
"""Codes up to which nearest neighbours are found exactly."""
_PLACED = 4096
"""Codes that are placed at once."""
_FEWEST = 4
"""Codes below which there is no neighbourhood to keep, and principal components do."""


@dataclass(frozen=True)
class Projection:
    """Where codes came to lie: `positions` (n, 2) float32, in no particular unit.

    `kept` is the share of the codes' variance that the components hold by which they were compared.
    """

    positions: Positions
    method: Method
    kept: float
    _principal: Principal = field(repr=False)
    _add: Callable[[Positions], Positions] = field(repr=False)

    def place(self, codes: Codes, *, progress: Watcher | None = None) -> Positions:
        """Where codes (m, C) come to lie, (m, 2) float32, each by itself. Raises LayerError where they don't fit."""
        expected = len(self._principal.mean)
        if codes.ndim != 2 or codes.shape[1] != expected:
            raise LayerError(f"got codes of shape {codes.shape}; expected (images, {expected})")
        steps = Steps(-(-len(codes) // _PLACED), progress)
        return self._placed(codes, np.arange(len(codes)), steps)

    def _placed(self, codes: Codes, rows: NDArray[np.int64], steps: Steps) -> Positions:
        placed = np.empty((len(rows), 2), dtype=np.float32)
        for start in range(0, len(rows), _PLACED):
            chosen = rows[start : start + _PLACED]
            placed[start : start + len(chosen)] = self._add(self._principal.place(codes[chosen]))
            steps.done()
        return placed


def project(
    codes: Codes,
    *,
    method: Method = "t-sne",
    normalize: bool = True,
    perplexity: float = 30,
    limit: int = FITTED,
    seed: int = 0,
    progress: Watcher | None = None,
) -> Projection:
    """Lay codes (n, C) out in a plane, those that are alike near each other.

    "t-sne" brings codes to their 50 principal components and then minimizes Σ p·log(p/q) between neighbourhoods there
    and in the plane (van der Maaten and Hinton 2008), by openTSNE from a start at the first two components. "umap" is
    McInnes, Healy and Melville 2018, and "pca" the first two components themselves.

    Parameters
    ----------
    normalize
        Bring each code to length 1 first, so that codes are compared by their angle.
    perplexity
        How many neighbours a code is compared with, about; less where there are fewer than three times as many. UMAP
        takes half of it, which with the default is its own.
    limit
        Fit so many codes at most, drawn by the seed, and place the others among them.

    Raises
    ------
    LayerError
        No codes, or some not finite.
    ConvscopeError
        An unknown method; a perplexity, or a limit, below 1.
    MissingExtra
        openTSNE (extra `scan`) or umap-learn (extra `umap`) isn't there.
    Cancelled
        `progress`, called each ten steps of t-SNE and after each 4,096 codes placed, returned False.

    >>> project(np.eye(5), method="pca").positions.shape
    (5, 2)
    """
    if method not in get_args(Method):
        raise ConvscopeError(f"unknown method {method!r}; {nearest(method, get_args(Method))}")
    if perplexity < 1 or limit < 1:
        raise ConvscopeError(f"got perplexity={perplexity}, limit={limit}; expected both to be 1 or more")
    generator = np.random.default_rng(seed)
    fitted, others = _sampled(len(codes), limit, generator)
    sample = codes[fitted] if len(others) else codes
    if len(sample) < _FEWEST:
        method = "pca"
    own = _STEPS if method == "t-sne" else 1
    steps = Steps(own + -(-len(others) // _PLACED), progress)
    principal = pca(sample, 2 if method == "pca" else _KEPT, normalize=normalize)
    components = principal.place(sample)
    if method == "t-sne":
        found, add = _t_sne(components, _start(components, generator), perplexity, seed, steps)
    elif method == "umap":
        found, add = _umap(components, _start(components, generator), perplexity, seed)
        steps.done()
    else:
        found, add = components, _as_it_is
        steps.done()
    projection = Projection(np.asarray(found, dtype=np.float32), method, principal.kept, principal, add)
    if not len(others):
        return projection
    positions = np.empty((len(codes), 2), dtype=np.float32)
    positions[fitted], positions[others] = projection.positions, projection._placed(codes, others, steps)
    return replace(projection, positions=positions)


Fit = tuple[Positions, Callable[[Positions], Positions]]
"""Where fitted codes lie, and what places others."""


def _sampled(count: int, limit: int, generator: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which rows are fitted, and which are placed."""
    if count <= limit:
        return np.arange(count), np.arange(0)
    fitted = np.sort(generator.choice(count, limit, replace=False))
    return fitted, np.setdiff1d(np.arange(count), fitted)


def _start(components: Positions, generator: np.random.Generator) -> NDArray[np.float64]:
    """The first two components (n, 2), tiny, as t-SNE wants them; a little chance parts codes that are equal."""
    first = components[:, :2].astype(np.float64)
    spread = first[:, 0].std() or 1.0
    return (first / spread + generator.normal(scale=0.01, size=first.shape)) * 1e-4


def _as_it_is(components: Positions) -> Positions:
    return components


def _t_sne(components: Positions, start: NDArray[np.float64], perplexity: float, seed: int, steps: Steps) -> Fit:
    try:
        from openTSNE import TSNE, affinity
    except ImportError as error:
        raise MissingExtra("t-SNE", extra="scan") from error

    def told(iteration: int, divergence: float, embedding: Any) -> bool:
        steps.done(_EVERY)
        return False

    # Threads that have little to do mostly wait for one another.
    threads = min(torch.get_num_threads(), max(1, len(components) // 1000))
    exact = len(components) <= _EXACT
    affinities = affinity.PerplexityBasedNN(
        components,
        perplexity=min(perplexity, (len(components) - 1) / 3),
        method="exact" if exact else "annoy",
        # Annoy's trees depend on the threads that grow them.
        n_jobs=threads if exact else 1,
        random_state=seed,
    )
    fitting = TSNE(n_jobs=threads, random_state=seed, callbacks=told, callbacks_every_iters=_EVERY)
    embedding = fitting.fit(affinities=affinities, initialization=start)
    # Placing is no part of what is watched; and it would centre what was fitted, and so move it.
    embedding.gradient_descent_params.update(callbacks=None, use_callbacks=False)
    embedding -= (embedding.max(axis=0) + embedding.min(axis=0)) / 2

    def add(others: Positions) -> Positions:
        few = min(5.0, len(components) / 3)
        return np.asarray(embedding.transform(others, perplexity=few), dtype=np.float32)

    return np.asarray(embedding, dtype=np.float32), add


def _umap(components: Positions, start: NDArray[np.float64], perplexity: float, seed: int) -> Fit:
    try:
        from umap import UMAP
    except ImportError as error:
        raise MissingExtra("UMAP", extra="umap") from error
    neighbours = max(2, min(round(perplexity / 2), len(components) - 1))
    # Ten across, as UMAP's own starts are.
    fitting = UMAP(n_neighbors=neighbours, init=start / np.abs(start).max() * 10, random_state=seed, n_jobs=1)
    found = fitting.fit_transform(components)
    return found, fitting.transform
