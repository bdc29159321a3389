"""Histograms of oriented gradients: what a picture's edges are, and nothing else of it (Dalal and Triggs 2005)."""

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from convscope.errors import ImageError, nearest
from convscope.image.check import check_image

Norm = Literal["L2-Hys", "L2", "L1", "L1-sqrt"]

# As scikit-image has it: no block is divided by nothing, and no entry of one dominates it.
_EPSILON, _CEILING = 1e-5, 0.2


def hog(
    image: Tensor, *, orientations: int = 9, cell: int = 8, block: int = 3, norm: Norm = "L2-Hys", sqrt: bool = False
) -> Tensor:
    """Histograms of oriented gradients of an image (C, H, W) or (N, C, H, W), grey or in colours: differentiable.

    The result is `(rows, columns, block, block, orientations)`, with the batch in front, in the image's type: for each
    block of cells, their histograms over the gradient's angle from 0° to 180°, normalized together. At each pixel

        g = (x[i+1, j] − x[i−1, j], x[i, j+1] − x[i, j−1]),  0 at the edges,

    of the channel in which it is longest, votes with ‖g‖ for one of the orientations; a cell's histogram is the mean
    of its pixels' votes, and a block h becomes h / √(‖h‖² + 1e-10), cut off at 0.2 and divided again ("L2-Hys").
    Equal to `skimage.feature.hog(…, channel_axis=0, feature_vector=False)`. It is differentiable wherever no pixel is
    between two orientations or channels and no gradient is 0; there the derivative is that of one side, or 0.

    Dalal and Triggs, "Histograms of oriented gradients for human detection", 2005.

    Parameters
    ----------
    orientations
        How many equal parts of 180° there are.
    cell
        Side of a cell in pixels. What is left over at the lower and right edges votes for nothing.
    block
        Side of a block in cells. Blocks overlap, each a cell from the next.
    norm
        "L2-Hys", "L2", "L1" or "L1-sqrt", as scikit-image calls them.
    sqrt
        Whether the square roots of the pixels are taken first, against shadows.

    Raises
    ------
    ImageError
        For what is no image, one smaller than a block, and numbers that are none of these.

    >>> hog(torch.rand(3, 64, 96)).shape
    torch.Size([6, 10, 3, 3, 9])
    """
    return Hog(orientations, cell, block, norm, sqrt)(image)


@dataclass(frozen=True)
class Hog:
    """The numbers of a descriptor, as `hog` takes them; called with an image, it gives that."""

    orientations: int = 9
    cell: int = 8
    block: int = 3
    norm: Norm = "L2-Hys"
    sqrt: bool = False

    def __post_init__(self) -> None:
        for name in ("orientations", "cell", "block"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ImageError(f"got {name}={value!r}; expected a whole number from 1 on, such as {_USUAL[name]}")
        if self.norm not in get_args(Norm):
            raise ImageError(f"no norm {self.norm!r}; {nearest(str(self.norm), get_args(Norm))}")

    def __call__(self, image: Tensor) -> Tensor:
        """The descriptor of an image or batch."""
        self.check(image)
        blocks = self.blocks(self.histograms(image if image.ndim == 4 else image[None]))
        blocks = blocks.to(image.dtype)
        return blocks if image.ndim == 4 else blocks[0]

    def check(self, image: Tensor) -> None:
        """Raise ImageError unless this has at least one block in it."""
        check_image(image)
        rows, columns = image.shape[-2:]
        side = self.block * self.cell
        if min(rows, columns) < side:
            raise ImageError(
                f"got an image of {rows} × {columns} pixels; expected {side} × {side} at least, a block of "
                f"{self.block} × {self.block} cells of {self.cell} pixels: take a larger image, or smaller cells"
            )
        if not image.detach().isfinite().all():
            raise ImageError("got an image with NaN or infinity in it, expected values in [0, 1]")

    def histograms(self, batch: Tensor) -> Tensor:
        """The votes of each cell (N, orientations, rows, columns), float64."""
        return self.votes(batch).histograms

    def votes(self, batch: Tensor, *, strip: float = 0.0) -> "Votes":
        """The same, with votes shared between two orientations within a `strip` about their border.

        The strip is a part of an orientation, 0 to 1. Where it is wider than 0 the votes tell how to turn a gradient.
        """
        rows, columns = (side // self.cell for side in batch.shape[2:])
        down, across = gradients(_root(batch.double()).to(batch.dtype) if self.sqrt else batch)
        down, across = (each[:, 0, : rows * self.cell, : columns * self.cell] for each in (down, across))
        magnitude = _root(down.square() + across.square()) / self.cell**2
        if strip > 0:
            own, beside, share = self._shared(down, across, strip)
        else:
            own, share = self.chosen(down, across)
            beside = own
        places = (len(batch), rows, columns, self.orientations)
        cells = self.cells(len(batch), rows, columns).to(batch.device)
        histograms = summed(magnitude * share, cells * self.orientations + own, places)
        if strip > 0:
            histograms = histograms + summed(magnitude * (1 - share), cells * self.orientations + beside, places)
        undecided = summed(4 * magnitude * share * (1 - share), cells, places[:3])
        return Votes(histograms.permute(0, 3, 1, 2), undecided)

    def cells(self, count: int, rows: int, columns: int) -> Tensor:
        """The number of each pixel's cell."""
        numbers = torch.arange(count * rows * columns).reshape(count, rows, columns)
        return numbers.repeat_interleave(self.cell, dim=1).repeat_interleave(self.cell, dim=2)

    def chosen(self, down: Tensor, across: Tensor) -> tuple[Tensor, Tensor]:
        """The number of the orientation that each pixel votes for; and 1, but 0 where rounding makes its angle 180°.

        Such a pixel has no vote in scikit-image.
        """
        angle = np.rad2deg(np.arctan2(_array(down), _array(across))) % 180
        edges = 180.0 / self.orientations * np.arange(1, self.orientations)
        chosen, valid = np.digitize(angle, edges), (angle < 180).astype(np.float64)
        return torch.from_numpy(chosen).to(down.device), torch.from_numpy(valid).to(down.device)

    def _shared(self, down: Tensor, across: Tensor, strip: float) -> tuple[Tensor, Tensor, Tensor]:
        """Above and below the nearest border: both orientations, and the share of the first."""
        still = (down == 0) & (across == 0)
        angle = torch.atan2(down, across.masked_fill(still, 1)).remainder(torch.pi) * (self.orientations / torch.pi)
        border = angle.detach().round()
        beyond = ((angle - border) / strip + 0.5).clamp(0, 1)
        above, below = (each.long() % self.orientations for each in (border, border - 1))
        return above, below, beyond.square() * (3 - 2 * beyond)

    def blocks(self, histograms: Tensor) -> Tensor:
        """Blocks of these, normalized: (N, rows, columns, block, block, orientations)."""
        cells = histograms.unfold(2, self.block, 1).unfold(3, self.block, 1)
        blocks = cells.permute(0, 2, 3, 4, 5, 1)
        if self.norm.startswith("L1"):
            out = blocks / (blocks.abs().sum((3, 4, 5), keepdim=True) + _EPSILON)
            return _root(out) if self.norm == "L1-sqrt" else out
        out = _unit(blocks)
        return _unit(out.clamp(max=_CEILING)) if self.norm == "L2-Hys" else out


@dataclass(frozen=True)
class Votes:
    """What the pixels of each cell vote for: `histograms` (N, orientations, rows, columns), float64.

    `shared` (N, rows, columns) is how much of them lies between two orientations.
    """

    histograms: Tensor
    shared: Tensor


_USUAL = {name: getattr(Hog, name) for name in ("orientations", "cell", "block")}


def gradients(batch: Tensor) -> tuple[Tensor, Tensor]:
    """How pixels (N, C, H, W) change downwards and to the right, (N, 1, H, W) each, in the channel with most change.

    Differences are taken in the image's type, as scikit-image does, and given as float64.
    """
    down, across = differences(batch)
    if batch.shape[1] == 1:
        return down, across
    chosen = longest(down.to(batch.dtype), across.to(batch.dtype))
    return down.gather(1, chosen), across.gather(1, chosen)


def differences(batch: Tensor) -> tuple[Tensor, Tensor]:
    """How each channel changes downwards and to the right, both like the batch (N, C, H, W), float64."""
    down = F.pad(batch[:, :, 2:] - batch[:, :, :-2], (0, 0, 1, 1)).double()
    across = F.pad(batch[..., 2:] - batch[..., :-2], (1, 1)).double()
    return down, across


def longest(down: Tensor, across: Tensor) -> Tensor:
    """The channel (N, 1, H, W) in which a gradient is longest."""
    length = np.hypot(_array(down), _array(across))
    return torch.from_numpy(length.argmax(axis=1, keepdims=True)).to(down.device)


def _unit(blocks: Tensor) -> Tensor:
    return blocks / (blocks.square().sum((3, 4, 5), keepdim=True) + _EPSILON**2).sqrt()


def summed(values: Tensor, places: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Values summed at the places of a new tensor of this shape."""
    return values.new_zeros(math.prod(shape)).index_add(0, places.flatten(), values.flatten()).reshape(shape)


def _array(values: Tensor) -> NDArray[Any]:
    """What is only compared, for NumPy: in colours many gradients are equal but for the last digit, and by PyTorch's
    functions other ones would win than in scikit-image.
    """
    return values.detach().cpu().numpy()


def _root(values: Tensor) -> Tensor:
    """√x, whose derivative at 0 is taken for 0 and not for infinity."""
    positive = values > 0
    return values.where(positive, 1).sqrt() * positive
