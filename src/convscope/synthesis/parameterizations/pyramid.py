"""A Laplacian pyramid: structure of every size by parameters of its own size."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from convscope.synthesis.parameterizations.natural import Shape, colours, logit, planes
from convscope.synthesis.parts import LARGEST, check


@dataclass(frozen=True)
class Pyramid:
    """x = sigmoid(M · (p₀ + up(p₁ + up(p₂ + …)))), each level half as large, `levels` of them (Burt and Adelson 1983).

    An image's parameters are those of all levels in one row. Noise is normal, with the `deviation` at each level.
    """

    levels: int = 5
    deviation: float = 0.05

    def __post_init__(self) -> None:
        check(self, levels=(1, 30), deviation=(0, LARGEST))

    def start(self, images: Tensor) -> Tensor:
        level = planes(logit(images))
        differences = []
        for size in [*self._sizes(_shape(images))][1:]:
            smaller = F.interpolate(level, size, mode="area")
            differences.append(level - _enlarged(smaller, level))
            level = smaller
        return torch.cat([each.flatten(1) for each in (*differences, level)], dim=1)

    def noise(self, shape: Shape, draws: Sequence[Generator]) -> Tensor:
        count = shape[0] * sum(rows * columns for rows, columns in self._sizes(shape))
        return self.deviation * torch.stack([torch.randn(count, generator=draw) for draw in draws])

    def images(self, parameters: Tensor, shape: Shape) -> Tensor:
        sizes = list(self._sizes(shape))
        rows = torch.split(parameters, [shape[0] * height * width for height, width in sizes], dim=1)
        levels = [row.reshape(-1, shape[0], *size) for row, size in zip(rows, sizes, strict=True)]
        level = levels.pop()
        while levels:
            level = levels[-1] + _enlarged(level, levels[-1])
            levels.pop()
        return colours(level).sigmoid()

    def _sizes(self, shape: Shape) -> Iterator[tuple[int, int]]:
        _, rows, columns = shape
        for _ in range(self.levels):
            yield rows, columns
            rows, columns = max(1, rows // 2), max(1, columns // 2)


def _shape(images: Tensor) -> Shape:
    channels, rows, columns = images.shape[1:]
    return channels, rows, columns


def _enlarged(level: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(level, (like.shape[-2], like.shape[-1]), mode="bilinear", align_corners=False)
