"""Where an object surely is and surely is not, by a map of how much each pixel matters."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from convscope.errors import ImageError

_REACH = 3
"""Standard deviations after which the bell curve is cut off."""

_TOLD_APART = 1e9
"""Values that a map's range holds: sums of the same numbers in another order differ in their last digits."""


class Seeds(NamedTuple):
    """Pixels `(H, W)` that surely belong to the object, and that surely don't; the others are open."""

    foreground: Tensor
    background: Tensor


def seeds(values: Tensor, *, foreground: float, background: float, among: Tensor | None = None) -> Seeds:
    """The largest `foreground` and the smallest `background` of a map `(H, W)`, both fractions of its pixels.

    Equal values (to a billionth of their range) are never told apart: the smallest that don't all fit stay open, and so
    do the largest, unless nothing would be left. Only pixels of `among` are counted and chosen. Raises ImageError where
    that gives no seeds.

    >>> seeds(torch.tensor([[5.0, 1.0, 0.0, 0.0]]), foreground=0.25, background=0.5)
    Seeds(foreground=tensor([[ True, False, False, False]]), background=tensor([[False, False,  True,  True]]))
    >>> seeds(torch.tensor([[5.0, 0.0, 0.0, 0.0]]), foreground=0.25, background=0.5).background.any()
    tensor(False)
    """
    if min(foreground, background) <= 0 or foreground + background > 1:
        raise ImageError(
            f"got foreground={foreground} and background={background}; expected fractions above 0, together at most 1"
        )
    if among is None:
        among = torch.ones_like(values, dtype=torch.bool)
    if not values.isfinite().all():
        raise ImageError("the map holds NaN or infinity; expected a number for each pixel")
    step = (values[among].max() - values[among].min()).double() / _TOLD_APART
    if step == 0:
        raise ImageError(
            f"the map is {values[among][0]:.3g} everywhere, so it says of no place that the object is there"
        )
    values = (values.double() / step).round()
    counted = values[among].sort().values
    last, first = math.floor(background * len(counted)), len(counted) - math.ceil(foreground * len(counted))
    return Seeds(among & (values >= _lowest_of_all(counted, first)), among & (values < counted[last]))


def _lowest_of_all(counted: Tensor, first: int) -> Tensor:
    """The smallest value whose equals all come at `first` or later; the largest if there is none."""
    if first == 0 or counted[first - 1] < counted[first]:
        return counted[first]
    above = torch.searchsorted(counted, counted[first], right=True)
    return counted[min(int(above), len(counted) - 1)]


def smoothed(values: Tensor, sigma: float) -> Tensor:
    """A map `(H, W)` under a Gaussian of `sigma` pixels, mirrored at its edges, as float64."""
    exact = values.double()
    for axis in (0, 1) if sigma > 0 else ():
        exact = _along(exact, axis, sigma)
    return exact


def _along(values: Tensor, axis: int, sigma: float) -> Tensor:
    lines = values.movedim(axis, -1)
    reach = min(math.ceil(_REACH * sigma), lines.shape[-1] - 1)
    places = torch.arange(-reach, reach + 1, dtype=values.dtype, device=values.device)
    weights = torch.exp(-0.5 * (places / sigma) ** 2)
    padded = F.pad(lines[:, None], (reach, reach), mode="reflect")
    return F.conv1d(padded, (weights / weights.sum())[None, None])[:, 0].movedim(-1, axis)
