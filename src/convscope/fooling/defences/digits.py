"""The handwritten digits that scikit-learn bundles, and pictures that are no digits."""

import functools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from convscope.errors import MissingExtra

SIDE = 8
CLASSES = 10

_HELD_OUT = 400


@dataclass(frozen=True)
class Digits:
    """Images `(N, 1, 8, 8)` in [0, 1] and what they are, `(N,)`; networks never see those that are held out."""

    images: Tensor
    labels: Tensor
    held_out: Tensor
    held_out_labels: Tensor


@functools.cache
def digits() -> Digits:
    """All 1,797, of which 400 are held out, always the same. Raises MissingExtra without scikit-learn."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingExtra("the bundled digits", extra="photos") from error
    loaded = load_digits()
    # They have 17 levels; to the nearest of 256, so that files hold them as they are.
    images = (torch.from_numpy(loaded.images).float()[:, None] / 16 * 255).round() / 255
    labels = torch.from_numpy(loaded.target).long()
    order = torch.randperm(len(images), generator=Generator().manual_seed(0))
    images, labels = images[order], labels[order]
    return Digits(images[_HELD_OUT:], labels[_HELD_OUT:], images[:_HELD_OUT], labels[:_HELD_OUT])


def noise(count: int, draw: Generator) -> Tensor:
    """Images `(count, 1, 8, 8)` of which each value is drawn by itself, evenly from [0, 1]."""
    return torch.rand(count, 1, SIDE, SIDE, generator=draw)


def smooth_noise(count: int, draw: Generator) -> Tensor:
    """The same of 4 × 4 values, with what lies between them interpolated: strokes and spots as digits have them."""
    coarse = torch.rand(count, 1, SIDE // 2, SIDE // 2, generator=draw)
    return F.interpolate(coarse, size=SIDE, mode="bilinear", align_corners=False)


def blanks(count: int, draw: Generator) -> Tensor:
    """Images of one value each."""
    return torch.rand(count, 1, 1, 1, generator=draw).expand(-1, 1, SIDE, SIDE)


def shuffled(images: Tensor, draw: Generator) -> Tensor:
    """The images with their pixels in another order each."""
    flat = images.flatten(1)
    order = torch.rand(flat.shape, generator=draw).argsort(dim=1)
    return flat.gather(1, order).reshape(images.shape)
