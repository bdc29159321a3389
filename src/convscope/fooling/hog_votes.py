"""HOG votes held where they are: which orientation each pixel votes for is settled, and only how strongly is not."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from convscope.fooling.hog import Hog, differences, longest, summed

# How far inside of its orientation a gradient is kept, so that rounding to 8 bits doesn't turn it out: so many levels;
# but no more than this part of what its orientation has room for.
_MARGIN, _ROOM = 2 / 255, 0.6
# Votes that are a smaller part of their cell's are not missed.
_MISSED = 1e-3


class _Gradients(NamedTuple):
    """Of each channel: `parts`, downwards and to the right (2, N, C, rows, columns), and `length`."""

    parts: Tensor
    length: Tensor


class HeldVotes:
    """The votes of pictures near one, `picture` (1, C, H, W), as long as no gradient leaves its orientation.

    Votes jump where it does; held, they are smooth, and what leaves its orientation is told as a number of its own.
    An orientation that some cell of `wanted` (1, orientations, rows, columns) has and for which no pixel votes is
    given the pixel of that cell that need be turned least.
    """

    def __init__(self, numbers: Hog, picture: Tensor, wanted: Tensor) -> None:
        self._numbers = numbers
        self._rows, self._columns = wanted.shape[2:]
        found = self._gradients(picture)
        self._channel = longest(*found.parts)
        own = self._own(found.parts)
        orientation, self._counts = numbers.chosen(*own)
        cells = numbers.cells(1, self._rows, self._columns)
        orientation = _completed(orientation, own, cells, wanted)
        self._places = cells * numbers.orientations + orientation
        # A gradient and its opposite vote alike: towards which of both it is, and what stands upright on each border.
        width = math.pi / numbers.orientations
        low, middle, high = (width * (orientation + part) for part in (0, 0.5, 1))
        sign = torch.where(own[0] * middle.sin() + own[1] * middle.cos() >= 0, 1.0, -1.0).double()
        self._inward = (
            sign * torch.stack([low.cos(), -low.sin()]),
            sign * torch.stack([-high.cos(), high.sin()]),
        )
        self._room = _ROOM * math.sin(width / 2)

    def __call__(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """Histograms (1, orientations, rows, columns), and Σ (by how much a gradient is out of its orientation)²."""
        found = self._gradients(picture)
        length = found.length.gather(1, self._channel)[:, 0]
        shape = (1, self._rows, self._columns, self._numbers.orientations)
        votes = summed(length * self._counts / self._numbers.cell**2, self._places, shape)
        margin = (self._room * length.detach()).clamp(max=_MARGIN)
        own = self._own(found.parts)
        out = sum(
            ((margin - (own * inward).sum(0)).clamp(min=0).square().sum() for inward in self._inward),
            start=picture.new_zeros(()),
        )
        if picture.shape[1] > 1:
            # The channel that votes is to stay the one with the longest gradient.
            over = (found.length - (length - margin)[:, None]).clamp(min=0).square()
            out = out + over.scatter(1, self._channel, 0).sum()
        return votes.permute(0, 3, 1, 2), out

    def _gradients(self, picture: Tensor) -> _Gradients:
        side = self._numbers.cell
        parts = torch.stack(differences(picture))[..., : self._rows * side, : self._columns * side]
        squares = parts.square().sum(0)
        some = squares > 0
        return _Gradients(parts, squares.where(some, 1).sqrt() * some)

    def _own(self, parts: Tensor) -> Tensor:
        """Of the channel that votes (2, N, rows, columns)."""
        return parts.gather(2, self._channel.expand(2, *self._channel.shape))[:, :, 0]


def _completed(orientation: Tensor, gradients: Tensor, cells: Tensor, wanted: Tensor) -> Tensor:
    """Orientations of pixels such that, where it can be, no wanted one of a cell is without any."""
    count = wanted.shape[1]
    votes = wanted.permute(0, 2, 3, 1).reshape(-1, count)
    chosen, cell = orientation.flatten().clone(), cells.flatten()
    voters = torch.bincount(cell * count + chosen, minlength=votes.numel()).reshape(votes.shape)
    down, across = gradients.flatten(1)
    length = torch.hypot(down, across)
    angle = torch.atan2(down, across) * (count / math.pi)
    missing = (voters == 0) & (votes > _MISSED * votes.sum(1, keepdim=True))
    # The greatest first, as pixels may not be enough.
    for place, lacking in sorted(missing.nonzero().tolist(), key=lambda pair: -float(votes[pair[0], pair[1]])):
        pixels = (cell == place).nonzero()[:, 0]
        apart = ((angle[pixels] - lacking - 0.5 + count / 2).remainder(count) - count / 2).abs()
        turning = length[pixels] * (apart * (math.pi / count)).clamp(max=math.pi / 2).sin()
        free = (voters[place, chosen[pixels]] > 1) & (length[pixels] > 0)
        if free.any():
            pixel = pixels[turning.where(free, torch.inf).argmin()]
            voters[place, chosen[pixel]] -= 1
            voters[place, lacking] += 1
            chosen[pixel] = lacking
    return chosen.reshape(orientation.shape)
