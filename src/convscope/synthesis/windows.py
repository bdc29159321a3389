"""All square windows of an example, compared with something else at once."""

from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from convscope.synthesis.copied import Array


@dataclass(frozen=True)
class Windows:
    """All windows of side × side pixels that lie within an example (C, h, w).

    Sums over all of them are correlations, and these products of Fourier transforms: `spectra` are those of the
    example's channels and of the sum of their squares. So the time hardly depends on the side, nor the result on the
    number of threads.
    """

    example: Array
    side: int
    spectra: NDArray[np.complex128]

    @classmethod
    def of(cls, example: Array, side: int) -> "Windows":
        """Those of an example with sides of at least `side`."""
        channels = np.concatenate([example, (example**2).sum(0, keepdims=True)])
        return cls(example, side, np.fft.rfft2(channels, _lengths(example)))

    @property
    def shape(self) -> tuple[int, int]:
        """How many there are down and across."""
        rows, columns = self.example.shape[1:]
        return rows - self.side + 1, columns - self.side + 1

    def differences(self, content: Array, weights: Array) -> Array:
        """Σ weights · (window − content)², over pixels and channels, for each window: (…, *shape).

        `content` is (…, C, side, side), `weights` (…, side, side).

        >>> example = np.arange(6.0).reshape(1, 2, 3)
        >>> Windows.of(example, 2).differences(example[:, :, 1:], np.ones((2, 2))).round(6)
        array([[4., 0.]])
        """
        # Σ w (e − x)² = Σ w e² − 2 Σ w x e + Σ w x², of which only the first two hang on the window.
        weighted = content * weights[..., None, :, :]
        kernels = np.concatenate([-2 * weighted, weights[..., None, :, :]], -3)
        lengths, (rows, columns) = _lengths(self.example), self.shape
        # Along the rows first: those below the window hold only zeros.
        spectra = np.fft.fft(np.fft.rfft(kernels, lengths[1]), lengths[0], axis=-2)
        product = np.einsum("...cij,cij->...ij", spectra.conj(), self.spectra)
        sums = np.fft.irfft2(product, lengths)[..., :rows, :columns]
        # Rounding can take a perfect match below 0.
        differences: Array = np.maximum(sums + (weighted * content).sum((-3, -2, -1))[..., None, None], 0)
        return differences


def _lengths(example: Array) -> tuple[int, int]:
    """Sides that are at least the example's and have only small factors, with which the transforms are fast."""
    return _smooth(example.shape[1]), _smooth(example.shape[2])


def _smooth(side: int) -> int:
    # A number without other prime factors than 2, 3 and 5 divides a high enough power of 30.
    return next(number for number in count(side) if pow(30, number.bit_length(), number) == 0)
