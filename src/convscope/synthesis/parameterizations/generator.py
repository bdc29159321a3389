"""The code of a generator: any function from codes to images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Generator as Draw
from torch import Tensor

from convscope.errors import ImageError
from convscope.synthesis.parameterizations.natural import Shape


@dataclass(frozen=True)
class Generator:
    """x = G(z): only what the generator can make is looked at (Nguyen et al. 2016).

    `generate` is any module or function from codes `(N, *code)` to images `(N, C, H, W)` in [0, 1]; `code` the shape of
    one. Codes at random are normal with the `deviation`; `start` codes `(N, *code)` may be given instead.
    """

    generate: Callable[[Tensor], Tensor]
    code: tuple[int, ...]
    deviation: float = 1.0

    def start(self, images: Tensor) -> Tensor:
        raise ImageError(
            "a generator's codes can't be had from an image; start from noise, and leave out regularizers that change "
            "the image itself (decay, blur, clip-…)"
        )

    def noise(self, shape: Shape, draws: Sequence[Draw]) -> Tensor:
        return self.deviation * torch.stack([torch.randn(self.code, generator=draw) for draw in draws])

    def images(self, parameters: Tensor, shape: Shape) -> Tensor:
        made = self.generate(parameters)
        if made.shape != (len(parameters), *shape):
            got, expected = tuple(made.shape), (len(parameters), *shape)
            raise ImageError(f"the generator made {got} of codes {tuple(parameters.shape)}; expected {expected}")
        return made
