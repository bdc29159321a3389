"""Principal components of codes: the plane, or the fewer numbers, in which they differ most."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convscope.errors import LayerError

Codes = NDArray[Any]
"""Codes (n, C) of any float type, a row an image."""

_BLOCK = 8192
"""Rows that are held in double precision at once."""


@dataclass(frozen=True)
class Principal:
    """`mean` (C,) of the codes, and the `directions` (d, C) in which they vary most, the first most of all.

    Directions have length 1, or 0 where the codes vary in fewer; `variances` (d,) are those along them, and `total` is
    that in all directions.
    """

    mean: NDArray[np.float64]
    directions: NDArray[np.float64]
    variances: NDArray[np.float64]
    total: float
    normalized: bool

    @property
    def kept(self) -> float:
        """The share of the variance that is along the directions; 1 where there is none."""
        return float(self.variances.sum()) / self.total if self.total > 0 else 1.0

    def place(self, codes: Codes) -> NDArray[np.float32]:
        """Codes (m, C) along the directions, (m, d). Raises LayerError where they are not finite."""
        placed = np.empty((len(codes), len(self.directions)), dtype=np.float32)
        for start, block in _blocks(codes, self.normalized):
            placed[start : start + len(block)] = (block.numpy() - self.mean) @ self.directions.T
        return placed


def pca(codes: Codes, dimensions: int, *, normalize: bool = False) -> Principal:
    """Principal component analysis (Pearson 1901): the eigenvectors of the covariance of codes (n, C).

    Computed in double precision, and in blocks, from the smaller of the covariance and the products of the codes with
    each other. The largest entry of a direction is positive, so that the same codes give the same picture.

    Parameters
    ----------
    normalize
        Bring each code to length 1 first, so that distances tell of angles; a code of zeros stays as it is.

    Raises
    ------
    LayerError
        No codes, or some hold NaN or infinity.

    >>> found = pca(np.array([[0.0, 0.0], [2.0, 2.0], [4.0, 4.0]]), 2)
    >>> found.variances.round(3), found.directions.round(3)[0]
    (array([8., 0.]), array([0.707, 0.707]))
    """
    if codes.ndim != 2 or not len(codes):
        raise LayerError(f"got codes of shape {codes.shape}; expected (images, channels), an image at least")
    mean = sum(block.sum(0) for _, block in _blocks(codes, normalize)) / len(codes)
    assert isinstance(mean, Tensor)
    wide = codes.shape[1] >= len(codes)
    values, directions = (_by_rows if wide else _by_columns)(codes, mean, normalize, dimensions)
    largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
    directions = torch.where(largest < 0, -directions, directions)
    missing = dimensions - len(directions)
    directions = torch.nn.functional.pad(directions, (0, 0, 0, missing))
    all_variances = values.clamp(min=0) / max(1, len(codes) - 1)
    variances = torch.nn.functional.pad(all_variances[:dimensions], (0, missing))
    return Principal(mean.numpy(), directions.numpy(), variances.numpy(), float(all_variances.sum()), normalize)


def _by_columns(codes: Codes, mean: Tensor, normalize: bool, dimensions: int) -> tuple[Tensor, Tensor]:
    """Sums of squares along all directions, largest first, and the first directions, from the covariance (C, C)."""
    products = torch.zeros(codes.shape[1], codes.shape[1], dtype=torch.float64)
    for _, block in _blocks(codes, normalize):
        centred = block - mean
        products += centred.T @ centred
    values, vectors = torch.linalg.eigh(products)
    return values.flip(0), _where_varying(vectors.T.flip(0)[:dimensions], values.flip(0))


def _by_rows(codes: Codes, mean: Tensor, normalize: bool, dimensions: int) -> tuple[Tensor, Tensor]:
    """The same from the products (n, n) of the codes with each other: X = U S V', so V' = U' X / S."""
    centred = torch.cat([block for _, block in _blocks(codes, normalize)]) - mean
    values, vectors = torch.linalg.eigh(centred @ centred.T)
    directions = vectors.T.flip(0)[:dimensions] @ centred
    directions = torch.nn.functional.normalize(directions, dim=1)
    return values.flip(0), _where_varying(directions, values.flip(0))


def _where_varying(directions: Tensor, values: Tensor) -> Tensor:
    """Zeros for directions along which there is nothing but rounding."""
    least = values[0] * len(values) * torch.finfo(torch.float64).eps
    return torch.where((values[: len(directions)] > least)[:, None], directions, 0)


def _blocks(codes: Codes, normalize: bool) -> Iterator[tuple[int, Tensor]]:
    """Rows of the codes in double precision, with where they start."""
    for start in range(0, len(codes), _BLOCK):
        block = torch.from_numpy(np.asarray(codes[start : start + _BLOCK], dtype=np.float64))
        finite = block.isfinite().all(1)
        if not finite.all():
            row = start + int((~finite).nonzero()[0, 0])
            raise LayerError(
                f"code {row} holds NaN or infinity; expected finite numbers: look at the network's answer to that "
                "image, or take another layer (stored codes end at 65,504)"
            )
        yield start, torch.nn.functional.normalize(block, dim=1) if normalize else block
