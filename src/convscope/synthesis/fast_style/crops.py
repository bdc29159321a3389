"""The crops of photographs that a style network learns from, each by its number."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Generator, Tensor

from convscope.errors import ImageError
from convscope.image.preparation import Preparation
from convscope.image.resize import resize
from convscope.image.source.source import Source

# A photograph's shorter side becomes up to so many times a crop's.
_LARGEST = 1.6
# What random numbers are for.
_CROPS, _ORDER = range(2)


class Crops:
    """Square crops of a source's photographs, in an order of chance that `seed` fixes.

    Crop n depends on n and the seed alone: training that goes on after a stop, or is shared by several processes, sees
    what it would have seen otherwise.
    """

    def __init__(self, source: Source, size: int, seed: int) -> None:
        self._source, self._size, self._seed = source, size, seed
        self._preparation = Preparation(input_size=(round(_LARGEST * size),) * 2, crop_fraction=1)
        self._names = [entry.name for entry in source.entries()]

    def batch(self, numbers: Sequence[int]) -> Tensor:
        """The crops of these numbers, `(N, 3, size, size)`. Raises ImageError where no photograph can be read."""
        return torch.stack([self.crop(number) for number in numbers])

    def crop(self, number: int) -> Tensor:
        """The crop of that number, `(3, size, size)`."""
        draws = _draws(self._seed, _CROPS, number)
        image = self._photograph(number)
        larger = 1 + (_LARGEST - 1) * float(torch.rand((), generator=draws))
        factor = larger * self._size / min(image.shape[-2:])
        rows, columns = (max(self._size, round(side * factor)) for side in image.shape[-2:])
        top, left = (int(torch.randint(side - self._size + 1, (), generator=draws)) for side in (rows, columns))
        cut = resize(image, (rows, columns))[:, top : top + self._size, left : left + self._size]
        return cut.flip(2) if torch.rand((), generator=draws) < 0.5 else cut

    def _photograph(self, number: int) -> Tensor:
        """The one whose turn it is, or the next that can be read."""
        epoch, place = divmod(number, len(self._names))
        order = torch.randperm(len(self._names), generator=_draws(self._seed, _ORDER, epoch))
        reasons = []
        for at in [*order[place:].tolist(), *order[:place].tolist()]:
            try:
                return self._source.open(self._names[at], self._preparation, at_least=self._preparation.at_least)[0]
            except ImageError as error:
                reasons.append(f"{self._names[at]}: {error}")
        raise ImageError(f"none of the {len(self._names)} photographs can be read; the first: {reasons[0]}")


def _draws(*numbers: int) -> Generator:
    """Random numbers that are others for each seed and number, however near."""
    mixed = np.random.SeedSequence(numbers).generate_state(1, np.uint64)
    return Generator().manual_seed(int(mixed[0]) >> 1)
