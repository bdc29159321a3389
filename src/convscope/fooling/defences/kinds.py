"""Several kinds of each digit, found by k-means: more classes than have names."""

import torch
from torch import Generator, Tensor

_ROUNDS = 20


def kinds_of(images: Tensor, labels: Tensor, kinds: int, seed: int) -> Tensor:
    """The class of each image among `kinds` times as many, `(N,)`: kind k of digit d is d · kinds + k."""
    draw = Generator().manual_seed(seed)
    found = torch.zeros_like(labels)
    for digit in sorted(set(labels.tolist())):
        here = (labels == digit).nonzero()[:, 0]
        found[here] = digit * kinds + _clusters(images[here].flatten(1), min(kinds, len(here)), draw)
    return found


def _clusters(points: Tensor, count: int, draw: Generator) -> Tensor:
    centres = points[torch.randperm(len(points), generator=draw)[:count]].clone()
    nearest = torch.zeros(len(points), dtype=torch.long)
    for _ in range(_ROUNDS):
        nearest = torch.cdist(points, centres).argmin(dim=1)
        for each in sorted(set(nearest.tolist())):
            centres[each] = points[nearest == each].mean(dim=0)
    return nearest
