"""What a file holds as it is stored, and how that becomes the image that was asked for."""

from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from convscope.errors import ImageError

Alpha: TypeAlias = Literal["straight", "premultiplied"]

_LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)
# A pixel of many channels takes as much memory as several of RGBA.
_CHANNELS_OF_A_PIXEL = 4


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What was asked of a file, as `read_image` describes it. Raises ImageError for what no file can give."""

    channels: int = 3
    page: int = 0
    window: tuple[float, float] | None = None
    pixel_limit: int
    at_least: tuple[int, int] | None = None
    """Rows and columns, upright, that are enough: a JPEG that is far larger is decoded at a fraction of its size."""

    def __post_init__(self) -> None:
        if not _is_whole(self.channels) or self.channels < 1:
            raise ImageError(f"got channels={self.channels}, expected 3 (colours), 1 (grey) or the file's own number")
        if not _is_whole(self.page) or self.page < 0:
            raise ImageError(f"got page={self.page}, expected a page's number, counted from 0")
        if self.window is not None and not _is_window(self.window):
            raise ImageError(
                f"got window={self.window}, expected (low, high), two numbers of which the first is smaller: "
                "the stored values that become 0 and 1"
            )

    @property
    def as_picture(self) -> bool:
        """Whether the file is to be taken for a picture to look at, in colours or grey, and not for so many bands."""
        return self.channels in (1, 3)

    def check_page(self, pages: int) -> None:
        """Raise ImageError unless a file of so many pages has the one asked for."""
        if self.page >= pages:
            expected = "0: it has 1 page" if pages == 1 else f"0 to {pages - 1}: it has {pages} pages, counted from 0"
            raise ImageError(f"got page={self.page}, expected {expected}")

    def check_size(self, height: int, width: int, channels: int = 1) -> None:
        """Raise ImageError for more pixels than allowed. To be called before they are decoded."""
        pixels, counted = width * height, f"{width} × {height}"
        if channels > _CHANNELS_OF_A_PIXEL:
            pixels = pixels * channels // _CHANNELS_OF_A_PIXEL
            counted += f" of {channels} channels, as large as"
        else:
            counted += " ="
        if pixels > self.pixel_limit:
            raise ImageError(
                f"it has {counted} {pixels / 1e6:.4g} million pixels, expected at most "
                f"{self.pixel_limit / 1e6:.4g} million: make it smaller, or raise pixel_limit"
            )


@dataclass(frozen=True)
class Samples:
    """One picture as its file stores it, upright."""

    levels: NDArray[Any]
    """(H, W, C), numbers of any type."""
    white: float | None
    """The level that stands for 1, as 0 stands for 0; None if nothing says which does."""
    alpha: Alpha | None = None
    """What the last channel is, if it is opacity, and whether the others are multiplied by it already."""
    inverted: bool = False
    """Whether low levels are bright."""
    window: tuple[float, float] | None = None
    """The levels that the file itself wants shown as 0 and 1."""
    whole: tuple[int, int] | None = None
    """Rows and columns, upright, of the picture in the file, if it was decoded at a fraction of its size."""

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns, upright, of the picture in the file."""
        height, width = self.levels.shape[:2]
        return self.whole or (height, width)


def to_image(samples: Samples, wanted: Wanted) -> NDArray[np.float32]:
    """The image (C, H, W) in [0, 1] that was asked for. Raises ImageError if `samples` can't give it."""
    count = samples.levels.shape[2]
    if not wanted.as_picture:
        if count != wanted.channels:
            raise ImageError(
                f"it has {_channels(count)}, expected {wanted.channels}: give channels={count}, or a file that has "
                f"{wanted.channels}"
            )
        return _scale(samples.levels, samples, wanted.window)
    colours = count if samples.alpha is None else count - 1
    if colours not in (1, 3):
        raise ImageError(
            f"it has {_channels(count)}, expected grey or red, green and blue for channels={wanted.channels}: "
            f"read them all with channels={count}"
        )
    pixels = _scale(samples.levels[..., :colours], samples, wanted.window)
    if samples.alpha is not None and samples.white is not None:
        alpha = samples.levels[..., -1].astype(np.float32) / np.float32(samples.white)
        pixels = (pixels * alpha if samples.alpha == "straight" else pixels) + (1 - alpha)
    if colours == wanted.channels:
        return pixels
    return np.repeat(pixels, 3, axis=0) if colours == 1 else np.tensordot(_LUMINANCE, pixels, axes=1)[None]


def _scale(levels: NDArray[Any], samples: Samples, window: tuple[float, float] | None) -> NDArray[np.float32]:
    """Levels (H, W, C) as pixels (C, H, W) in [0, 1], by `window`, the file's own window, or its depth."""
    if levels.dtype.kind not in "biuf":
        raise ImageError(f"its values are {levels.dtype}, expected whole or floating-point numbers: convert them")
    if levels.dtype.kind == "f" and (missing := int(np.isnan(levels).sum())):
        raise ImageError(f"{missing} of its {levels.size} values are NaN, expected numbers: fill them in beforehand")
    stored, used = levels.transpose(2, 0, 1), window or samples.window
    if used is None:
        pixels: NDArray[np.float32] = stored.astype(np.float32, order="C")
        pixels /= np.float32(_white(levels, samples.white))
    else:
        low, high = used
        # In float64, since 32-bit integers are too large for float32; clipped first, lest anything overflow.
        clipped = np.clip(stored.astype(np.float64, order="C"), low, high)
        pixels = ((clipped - low) / (high - low)).astype(np.float32)
    return 1 - pixels if samples.inverted else pixels


def _white(levels: NDArray[Any], white: float | None) -> float:
    """The level that stands for 1. Raises ImageError if it is unknown, or floats go beyond it."""
    if white is not None and (levels.dtype.kind != "f" or (levels.min() >= 0 and levels.max() <= white)):
        return white
    finite = levels[np.isfinite(levels)] if levels.dtype.kind == "f" else levels
    low, high = (finite.min().item(), finite.max().item()) if finite.size else (0, 1)
    expected = "and nothing says which are black and white" if white is None else f"expected 0 to {white:g}"
    raise ImageError(
        f"its values are {levels.dtype.name} from {low:.7g} to {high:.7g}, {expected}: "
        f"give window=({low:.7g}, {high if low < high else low + 1:.7g}), or what else is to become 0 and 1"
    )


def own_white(levels: NDArray[Any]) -> float | None:
    """What stands for 1 in a type of numbers: the largest of 8 and 16 bits unsigned, 1 of floats and truth values."""
    if levels.dtype.kind == "u" and levels.dtype.itemsize <= 2:
        return float(np.iinfo(levels.dtype).max)
    return 1.0 if levels.dtype.kind in "bf" else None


def _is_whole(number: object) -> bool:
    return isinstance(number, int)


def _is_window(window: object) -> bool:
    match window:
        case (Real() as low, Real() as high):
            return float("-inf") < float(low) < float(high) < float("inf")
    return False


def _channels(count: int) -> str:
    return "1 channel" if count == 1 else f"{count} channels"
