"""The smallest change so far that succeeded, and the weight by which it is looked for: what two attacks share."""

import torch
from torch import Tensor

from convscope.fooling.ball import lengths

_FACTOR = 10.0
"""By which a weight grows or shrinks while it is not yet known between which two it must lie."""


class Smallest:
    """Of each image the nearest one to it that has succeeded; the image itself before there is any."""

    def __init__(self, starts: Tensor) -> None:
        self._starts = starts
        self.images = starts.clone()
        self._length = torch.full((len(starts),), torch.inf, dtype=starts.dtype, device=starts.device)

    def note(self, at: Tensor, images: Tensor) -> None:
        """Images that have succeeded, of the numbers `at`."""
        length = lengths(images - self._starts[at])
        nearer = length < self._length[at]
        self.images[at[nearer]] = images[nearer]
        self._length[at[nearer]] = length[nearer]


class Weights:
    """How much success counts beside nearness, for each image: more where it failed, less where it did not.

    `now` is `(n,)`. Between the largest that failed and the least that succeeded it is halfway.
    """

    def __init__(self, first: float, starts: Tensor) -> None:
        self.now = torch.full((len(starts),), first, dtype=starts.dtype, device=starts.device)
        self._failed = torch.zeros_like(self.now)
        self._succeeded = torch.full_like(self.now, torch.inf)

    def judge(self, succeeded: Tensor) -> None:
        """Take the next weights after these `succeeded` `(n,)` or not."""
        self._failed = torch.where(succeeded, self._failed, self.now)
        self._succeeded = torch.where(succeeded, self.now, self._succeeded)
        between = (self._failed + self._succeeded) / 2
        self.now = torch.where(self._succeeded.isinf(), self.now * _FACTOR, between)
