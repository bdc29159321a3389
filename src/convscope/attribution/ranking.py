"""The pixels of an attribution in order, and how much two orders have in common."""

import torch
from torch import Tensor

from convscope.attribution.attribution import Attribution, Reduction


def pixel_values(attribution: Attribution, reduction: Reduction | None = None) -> Tensor:
    """The one number a pixel `(H, W)` that its rank goes by, with the batch in front if there was one.

    By default a derivative (its unit is "… per pixel value") counts by magnitude, as saliency maps are read: its sign
    tells a direction of brightness and not whether the pixel speaks for the target. A share of the score, such as
    occlusion's fall or integrated gradients, counts with its sign, summed over the colours.
    """
    derivative = "per pixel value" in attribution.unit
    return attribution.reduced(reduction or ("max" if derivative else "signed"))


def order(values: Tensor, generator: torch.Generator) -> Tensor:
    """The pixels `(H·W,)` of a map `(H, W)`, the greatest first; equal ones are shuffled.

    In the order of memory instead, a map of large even areas would be walked from top to bottom.

    >>> order(torch.tensor([[1.0, 3.0], [0.0, 2.0]]), torch.Generator()).tolist()
    [1, 3, 0, 2]
    """
    shuffled = torch.randperm(values.numel(), generator=generator)
    return shuffled[values.detach().cpu().flatten()[shuffled].argsort(descending=True, stable=True)]


def squares_of(shape: tuple[int, ...], side: int) -> Tensor:
    """Which square of a grid each pixel of `(H, W)` is in, counted from 0 row by row.

    >>> squares_of((2, 3), 2)
    tensor([[0, 0, 1],
            [0, 0, 1]])
    """
    rows, columns = (torch.arange(length) // side for length in shape)
    return rows[:, None] * (int(columns[-1]) + 1) + columns


def square_order(values: Tensor, squares: Tensor, generator: torch.Generator) -> Tensor:
    """The pixels `(H·W,)` of a map `(H, W)`, a square after the other, that of the greatest mean first.

    `squares` `(H, W)` says which each is in. Equal squares are shuffled; within one, pixels go row by row.

    >>> values = torch.tensor([[1.0, 3.0, 9.0], [0.0, 2.0, 9.0]])
    >>> square_order(values, squares_of((2, 3), 2), torch.Generator()).tolist()
    [2, 5, 0, 1, 3, 4]
    """
    which = squares.flatten()
    sums = torch.zeros(int(which.max()) + 1, dtype=torch.float64)
    sums.index_add_(0, which, values.detach().cpu().flatten().double())
    places = order(sums / which.bincount(), generator).argsort()
    return places[which].argsort(stable=True)


def moved(values: Tensor, generator: torch.Generator) -> Tensor:
    """A map `(H, W)` moved by chance, what leaves at one edge coming in at the other, and mirrored by chance.

    Its pattern stays: what is done in its place differs from what is done in the map's by the place alone.
    """
    rows, columns = values.shape
    down, across, mirrors = (int(torch.randint(high, (1,), generator=generator)) for high in (rows, columns, 4))
    return values.roll((down, across), dims=(0, 1)).flip([axis for axis in (0, 1) if mirrors >> axis & 1])


def ranks(values: Tensor) -> Tensor:
    """The rank of each of `(n,)` numbers, from 0 up, in double precision; equal ones share the mean of theirs.

    >>> ranks(torch.tensor([5.0, 1.0, 5.0, 7.0])).tolist()
    [1.5, 0.0, 1.5, 3.0]
    """
    ordered = values.sort().values
    first, behind = (torch.searchsorted(ordered, values, right=right) for right in (False, True))
    return (first + behind - 1).double() / 2


def spearman(one: Tensor, other: Tensor) -> float:
    """The rank correlation of two maps of one shape, in [−1, 1] (Spearman 1904); 0 where one of them is even.

    >>> round(spearman(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 10.0, 100.0])), 6)
    1.0
    """
    first, second = (ranks(each.detach().cpu().flatten()) for each in (one, other))
    first, second = first - first.mean(), second - second.mean()
    size = (first.square().sum() * second.square().sum()).sqrt()
    return float((first * second).sum() / size) if size > 0 else 0.0
