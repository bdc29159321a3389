"""Fourier coefficients, scaled as natural images are, of uncorrelated colours."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Generator, Tensor

from convscope.synthesis.parameterizations.natural import Shape, colours, frequencies, logit, planes
from convscope.synthesis.parts import LARGEST, check


@dataclass(frozen=True)
class Fourier:
    """x = sigmoid(M · F⁻¹(z · f^-decay) / 4), f in cycles a pixel, M the colours of photographs (Olah et al. 2017).

    z is complex, as two numbers; F⁻¹ the orthonormal inverse transform. Noise is normal in z, with the `deviation`.
    """

    decay: float = 1.0
    deviation: float = 0.01

    def __post_init__(self) -> None:
        check(self, decay=(0, 10), deviation=(0, LARGEST))

    def start(self, images: Tensor) -> Tensor:
        flat = planes(logit(images)) * 4
        return torch.view_as_real(torch.fft.rfft2(flat, norm="ortho") / self._scale(images)).contiguous()

    def noise(self, shape: Shape, draws: Sequence[Generator]) -> Tensor:
        channels, rows, columns = shape
        size = (channels, rows, columns // 2 + 1, 2)
        return self.deviation * torch.stack([torch.randn(size, generator=draw) for draw in draws])

    def images(self, parameters: Tensor, shape: Shape) -> Tensor:
        like = parameters.new_empty(shape)
        spectrum = torch.view_as_complex(parameters) * self._scale(like)
        flat = torch.fft.irfft2(spectrum, s=shape[1:], norm="ortho") / 4
        return colours(flat).sigmoid()

    def _scale(self, like: Tensor) -> Tensor:
        return _scale(like.shape[-2], like.shape[-1], self.decay).to(like)


# The same in each of hundreds of steps.
@lru_cache(maxsize=8)
def _scale(rows: int, columns: int, decay: float) -> Tensor:
    return frequencies(rows, columns) ** -decay
