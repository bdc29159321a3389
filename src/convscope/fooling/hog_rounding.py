"""Rounding to the 256 levels that a file holds, chosen pixel by pixel such that HOG descriptors lose least by it."""

import torch
from torch import Tensor

from convscope.fooling.hog import Hog
from convscope.progress import Steps

# What a change must bring, so that none is made, and unmade, for the last digit's sake.
_LEAST = 1e-12


class _Rounding:
    """The levels (C, H, W) of a picture, and what each block of its descriptor is off by, squared: `missed`."""

    def __init__(self, picture: Tensor, image: Tensor, numbers: Hog) -> None:
        self._numbers, self._dtype = numbers, image.dtype
        self._wanted = numbers(image.double())
        self.levels = (picture * 255).round()
        self.missed = self._missed(self.levels[None])[0]
        # Pixels as far apart as this have no block in common, and are tried at once.
        self._blocks = numbers.block + 2
        self.apart = self._blocks * numbers.cell

    def picture(self) -> Tensor:
        return (self.levels / 255).to(self._dtype)

    def row(self, top: int) -> None:
        """Try a level more and one less for each pixel of the rows `top`, `top + apart`, ..."""
        for left in range(min(self.apart, self.levels.shape[2])):
            for channel in range(len(self.levels)):
                self._try(channel, top, left)

    def _try(self, channel: int, top: int, left: int) -> None:
        pixels = self.levels[channel, top :: self.apart, left :: self.apart]
        tried = self.levels.expand(2, -1, -1, -1).clone()
        for trial, level in zip(tried, (pixels + 1, pixels - 1), strict=True):
            trial[channel, top :: self.apart, left :: self.apart] = level.clamp(0, 255)
        gains = self._by_pixel(self.missed - self._missed(tried), top, left, pixels.shape)
        best, which = gains.max(dim=0)
        better = best > _LEAST
        if better.any():
            pixels += (1 - 2 * which) * better
            self.missed = self._missed(self.levels[None])[0]

    def _by_pixel(self, gains: Tensor, top: int, left: int, shape: torch.Size) -> Tensor:
        """Gains of blocks (2, rows, columns) summed over those that each of the pixels tried has a part in."""
        # A pixel is seen by the gradients beside it, which may be in the next cell: by blocks that begin from `block`
        # cells before its own to one behind it. So blocks fall into tiles, the first of which may have no pixel.
        cell, block = self._numbers.cell, self._numbers.block
        tiles = [
            torch.div(torch.arange(count) - first // cell + block, self._blocks, rounding_mode="floor") + 1
            for count, first in zip(gains.shape[1:], (top, left), strict=True)
        ]
        down, across = (int(each.max()) + 1 for each in tiles)
        down, across = max(down, shape[0] + 1), max(across, shape[1] + 1)
        sums = gains.new_zeros(2, down, gains.shape[2]).index_add(1, tiles[0], gains)
        sums = sums.new_zeros(2, down, across).index_add(2, tiles[1], sums)
        return sums[:, 1 : shape[0] + 1, 1 : shape[1] + 1]

    def _missed(self, levels: Tensor) -> Tensor:
        return (self._numbers((levels / 255).to(self._dtype).double()) - self._wanted).square().sum((3, 4, 5))


def rounded(picture: Tensor, image: Tensor, numbers: Hog, *, sweeps: int, told: Steps) -> Tensor:
    """A picture (C, H, W) in [0, 1] in 8 bits, its descriptor as near to that of an image as single levels bring it.

    From the nearest levels on each pixel in turn goes a level up or down where that brings the descriptor nearer, so
    often as there are `sweeps`: nowhere is it farther than with the nearest levels.
    """
    rounding = _Rounding(picture, image, numbers)
    for top in range(sweeps * rounding.apart):
        if top % rounding.apart < picture.shape[1]:
            rounding.row(top % rounding.apart)
        told.done(preview=rounding.picture())
    return rounding.picture()


def rows_of(numbers: Hog, sweeps: int) -> int:
    """How many steps `rounded` tells of."""
    return sweeps * (numbers.block + 2) * numbers.cell
