"""Scaling images, fitting them to a network's input, and bringing maps of that input back."""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, TypeAlias, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from convscope.errors import ImageError, nearest
from convscope.image.check import check_image
from convscope.image.resampling import Interpolation as Interpolation
from convscope.image.resampling import Range, resample

Fit: TypeAlias = Literal["crop", "resize", "pad"]
Size: TypeAlias = tuple[int, int]
Box: TypeAlias = tuple[int, int, int, int]

CROP_FRACTION = 0.875
_PAD_VALUE = 0.5
# Beyond this, scaling the whole picture so that it covers the input takes all memory for pixels that are cropped away.
_LARGEST_ASPECT_TO_CROP = 100


@dataclass(frozen=True)
class Placement:
    """Where a picture lies on a network's input: all of it scaled from `original` to `scaled`, its corner at `offset`.

    All are (rows, columns). The offset is negative where the picture is cropped, positive where it is padded. A point
    at `p` rows or columns from the edge of the original lies at `p * scaled / original + offset` on the input.
    """

    original: Size
    scaled: Size
    offset: Size

    @property
    def seen(self) -> Box:
        """Where on the input it lies as a whole, as top, left, bottom, right; outside of the input where it is cropped.

        >>> place((300, 451), (224, 224), fit="pad").seen
        (37, 0, 186, 224)
        """
        (top, left), (height, width) = self.offset, self.scaled
        return top, left, top + height, left + width

    def back(self, position: int | Fraction, axis: int) -> Fraction:
        """Rows (axis 0) or columns (axis 1) from the edge of the original, of a point so far from the input's edge.

        >>> place((300, 451), (224, 224), fit="resize").back(112, axis=0)
        Fraction(150, 1)
        """
        return Fraction(position - self.offset[axis]) * self.original[axis] / self.scaled[axis]

    def original_box(self, box: Box) -> Box:
        """A box of the input, as top, left, bottom, right, in whole pixels of the original.

        It holds every pixel of the original that the box touches and none beyond the original's edges; it is empty, two
        of its edges equal, where the box lies beside the picture.

        >>> place((300, 451), (224, 224)).original_box((0, 0, 8, 8))
        (18, 93, 29, 104)
        """
        top, left, bottom, right = box
        first = [math.floor(self.back(edge, axis)) for axis, edge in enumerate((top, left))]
        last = [math.ceil(self.back(edge, axis)) for axis, edge in enumerate((bottom, right))]
        (top, left), (bottom, right) = (
            [min(max(edge, 0), side) for edge, side in zip(edges, self.original, strict=True)]
            for edges in (first, last)
        )
        return top, left, max(bottom, top), max(right, left)


def place(
    original_size: Size, input_size: Size, *, fit: Fit = "crop", crop_fraction: float = CROP_FRACTION
) -> Placement:
    """Where a picture of `original_size` lies on an input of `input_size`, both (rows, columns).

    `fit` is "crop": scaled to cover `input_size / crop_fraction`, the middle kept; "resize": scaled to the input, its
    aspect lost; "pad": the whole of it in the middle. Sizes and offsets are rounded as torchvision's `Resize` and
    `CenterCrop` round them. Raises ImageError for another fit, an empty size, a fraction that is not in (0, 1], and a
    picture more than 100 times as long as it is wide that is to be cropped.

    >>> place((300, 451), (224, 224))
    Placement(original=(300, 451), scaled=(256, 384), offset=(-16, -80))
    """
    (height, width), (rows, columns) = original_size, input_size
    if fit not in get_args(Fit):
        raise ImageError(f"no fit {fit!r}; {nearest(fit, get_args(Fit))}")
    if not 0 < crop_fraction <= 1:
        raise ImageError(f"got crop_fraction={crop_fraction}, expected more than 0 and at most 1")
    if min(height, width, rows, columns) < 1:
        raise ImageError(f"got a picture of {height} × {width} for {rows} × {columns}, expected at least 1 × 1 of each")
    if fit == "resize":
        return Placement(original_size, input_size, (0, 0))
    if fit == "pad":
        if rows * width <= columns * height:
            scaled = rows, max(1, round(rows * width / height))
        else:
            scaled = max(1, round(columns * height / width)), columns
        return Placement(original_size, scaled, ((rows - scaled[0]) // 2, (columns - scaled[1]) // 2))
    if max(height, width) > _LARGEST_ASPECT_TO_CROP * min(height, width):
        raise ImageError(f'got a picture of {height} × {width}, too long and narrow to crop: use fit="pad" or "resize"')
    rows_to_cover, columns_to_cover = round(rows / crop_fraction), round(columns / crop_fraction)
    if rows_to_cover * width >= columns_to_cover * height:
        scaled = rows_to_cover, int(rows_to_cover * width / height)
    else:
        scaled = int(columns_to_cover * height / width), columns_to_cover
    top, left = round((scaled[0] - rows) / 2), round((scaled[1] - columns) / 2)
    return Placement(original_size, scaled, (-top, -left))


def resize(image: Tensor, size: Size, mode: Interpolation = "bicubic") -> Tensor:
    """Scale an image (C, H, W) or batch (N, C, H, W) to `size` (rows, columns), antialiased, clipped to [0, 1].

    Raises ImageError if `image` is none, for an empty size, and for another mode than "bilinear" and "bicubic".

    >>> resize(torch.zeros(3, 300, 451), (224, 224)).shape
    torch.Size([3, 224, 224])
    """
    check_image(image)
    if mode not in get_args(Interpolation):
        raise ImageError(f"no interpolation {mode!r}; {nearest(mode, get_args(Interpolation))}")
    if min(size) < 1:
        raise ImageError(f"got size={tuple(size)}, expected at least one row and one column")
    rows, columns = size
    return _scale(image, (rows, columns), mode, rows=(0, rows), columns=(0, columns))


def fit_image(
    image: Tensor,
    input_size: Size,
    *,
    fit: Fit = "crop",
    crop_fraction: float = CROP_FRACTION,
    interpolation: Interpolation = "bicubic",
) -> Tensor:
    """An image (C, H, W) or batch (N, C, H, W) brought to a network's `input_size` (rows, columns), as `place` says.

    Padding is grey, 0.5. Raises ImageError as `place` and `resize` do.

    >>> fit_image(torch.zeros(3, 300, 451), (224, 224), fit="pad")[0, 0, 0]
    tensor(0.5000)
    """
    check_image(image)
    rows, columns = input_size
    placement = place(_size_of(image), input_size, fit=fit, crop_fraction=crop_fraction)
    (height, width), (top, left) = placement.scaled, placement.offset
    kept = _scale(
        image,
        placement.scaled,
        interpolation,
        rows=(max(-top, 0), min(rows - top, height)),
        columns=(max(-left, 0), min(columns - left, width)),
    )
    margins = [max(margin, 0) for margin in (left, columns - width - left, top, rows - height - top)]
    return F.pad(kept, margins, value=_PAD_VALUE) if any(margins) else kept


def unfit_map(
    values: Tensor,
    original_size: Size,
    input_size: Size,
    *,
    fit: Fit = "crop",
    crop_fraction: float = CROP_FRACTION,
    outside: float = 0.0,
) -> Tensor:
    """Bring a map (…, h, w) of a network's input back to the original's pixels, (…, H, W): the inverse of `fit_image`.

    The map spans the whole input, at whatever resolution: 7 × 7 for an input of 224 × 224 will do. Each pixel of the
    original gets the map's value, bilinear between positions, at the place where the network saw it; what the network
    did not see, because it was cropped away, gets `outside`. The result is float32, or float64 if the map is.
    Raises ImageError as `place` does.

    >>> unfit_map(torch.ones(224, 224), (300, 451), (224, 224)).mean() < 1
    tensor(True)
    """
    placement = place(original_size, input_size, fit=fit, crop_fraction=crop_fraction)
    if values.ndim < 2 or values.numel() == 0:
        raise ImageError(f"got a map of shape {tuple(values.shape)}, expected (…, h, w)")
    values = values.to(_exact_type(values))
    (rows, rows_seen), (columns, columns_seen) = (
        _positions(axis, placement, input_size[axis], like=values) for axis in (0, 1)
    )
    grid = torch.stack([columns.expand(len(rows), -1), rows[:, None].expand(-1, len(columns))], dim=-1)
    flat = values.reshape(1, -1, *values.shape[-2:])
    back = F.grid_sample(flat, grid[None], mode="bilinear", padding_mode="border", align_corners=False)
    seen = rows_seen[:, None] & columns_seen
    return back.where(seen, outside).reshape(*values.shape[:-2], *original_size)


def _scale(image: Tensor, size: Size, mode: Interpolation, *, rows: Range, columns: Range) -> Tensor:
    """Of an image or batch scaled to `size`, antialiased, clipped to [0, 1]: only these rows and columns."""
    if mode not in get_args(Interpolation):
        raise ImageError(f"no interpolation {mode!r}; {nearest(mode, get_args(Interpolation))}")
    batch = (image if image.ndim == 4 else image[None]).to(_exact_type(image))
    scaled = resample(batch, size, mode, rows=rows, columns=columns)
    return (scaled if image.ndim == 4 else scaled[0]).clamp(0, 1).to(image.dtype)


def _positions(axis: int, placement: Placement, input_side: int, *, like: Tensor) -> tuple[Tensor, Tensor]:
    """Where along `axis` the original's pixels are on the input, from −1 at one edge to 1 at the other; and whether."""
    original, scaled, offset = placement.original[axis], placement.scaled[axis], placement.offset[axis]
    positions = (torch.arange(original, dtype=torch.float64) + 0.5) * scaled / original + offset
    seen = (positions >= 0) & (positions <= input_side)
    # Half a pixel inside the picture, so that nothing of the padding mixes in.
    positions = positions.clamp(offset + 0.5, offset + scaled - 0.5)
    return (positions * 2 / input_side - 1).to(like.dtype).to(like.device), seen.to(like.device)


def _exact_type(values: Tensor) -> torch.dtype:
    """The type to interpolate in: half floats are too coarse for it, and PyTorch can't on a CPU."""
    return values.dtype if values.dtype in (torch.float32, torch.float64) else torch.float32


def _size_of(image: Tensor) -> Size:
    height, width = image.shape[-2:]
    return height, width
