"""Small weights as tiles: mid-grey is 0."""

from collections.abc import Sequence

import numpy as np
from PIL import Image
from torch import Tensor

_MID_GREY = 127.5
_LARGEST_FACTOR = 12
_SIDE = 56


def tile(weights: Tensor, *, largest: float | None = None) -> Image.Image:
    """Draw weights (3, H, W) in their colours, or (1, H, W) in grey, one pixel each.

    0 is mid-grey; `largest` (by default the largest absolute weight) is as bright, its negative as dark as can be.
    """
    array = weights.detach().cpu().double().numpy()
    reach = np.abs(array).max() if largest is None else largest
    shade = np.clip(_MID_GREY * (1 + array / (reach or 1.0)), 0, 255)
    pixels = np.rint(shade).astype(np.uint8).transpose(1, 2, 0)
    return Image.fromarray(pixels if pixels.shape[2] == 3 else pixels.repeat(3, axis=2))


def tile_side(weights: Sequence[Tensor]) -> int:
    """Pixels that the longer side of each tile is enlarged to: about 56, by a whole factor of 12 at most.

    >>> import torch
    >>> tile_side([torch.zeros(3, 7, 7)]), tile_side([torch.zeros(3, 3, 3)])
    (56, 36)
    """
    longest = max(max(each.shape[-2:]) for each in weights)
    return longest * min(_LARGEST_FACTOR, max(1, _SIDE // longest))
