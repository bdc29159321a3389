"""Phases alone: the magnitude of each frequency is that of natural images and stays."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from convscope.synthesis.parameterizations.natural import Shape, amplitudes, colours, logit, planes


@dataclass(frozen=True)
class Phase:
    """x = sigmoid(4 · M · F⁻¹(a · e^iφ)), φ free and the amplitudes a those of photographs (Fel et al. 2023).

    No frequency can grow beyond what photographs have of it, whatever the network would like. Noise is uniform.
    """

    def start(self, images: Tensor) -> Tensor:
        return torch.angle(torch.fft.rfft2(planes(logit(images), scaled=False), norm="ortho"))

    def noise(self, shape: Shape, draws: Sequence[Generator]) -> Tensor:
        channels, rows, columns = shape
        size = (channels, rows, columns // 2 + 1)
        return torch.stack([(2 * torch.rand(size, generator=draw) - 1) * math.pi for draw in draws])

    def images(self, parameters: Tensor, shape: Shape) -> Tensor:
        spectrum = torch.polar(amplitudes(shape).to(parameters).expand_as(parameters), parameters)
        return (4 * colours(torch.fft.irfft2(spectrum, s=shape[1:], norm="ortho"), scaled=False)).sigmoid()
