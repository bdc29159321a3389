"""NumPy's .npy files to samples."""

from io import BytesIO
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from convscope.errors import ImageError
from convscope.image.samples import Samples, Wanted, own_white

_HEADERS = {(1, 0): npy_format.read_array_header_1_0, (2, 0): npy_format.read_array_header_2_0}


def read_npy(data: bytes, wanted: Wanted) -> Samples:
    """The samples of an array. Raises ImageError if it can't be an image as wanted, ValueError if it is damaged."""
    wanted.check_page(1)
    stream = BytesIO(data)
    version = npy_format.read_magic(stream)
    if version not in _HEADERS:
        raise ImageError("it holds named fields, expected numbers: save the one that is the picture")
    shape, _, kind = _HEADERS[version](stream)
    if kind.hasobject:
        raise ImageError("it holds Python objects, which might do anything on being read; expected numbers")
    channel_axis = _channel_axis(shape, wanted.channels)
    height, width = (side for axis, side in enumerate(shape) if axis != channel_axis)
    if min(shape) < 1:
        raise ImageError(f"it is an array of {_by(shape)}, without pixels; expected at least one")
    wanted.check_size(height, width, 1 if channel_axis is None else shape[channel_axis])
    array: NDArray[Any] = np.load(BytesIO(data), allow_pickle=False)
    levels = array[..., None] if channel_axis is None else np.moveaxis(array, channel_axis, -1)
    return Samples(levels, own_white(levels))


def _channel_axis(shape: tuple[int, ...], channels: int) -> int | None:
    """Which axis of an array, the first or the last, holds its channels; None if it has none, as a grey picture."""
    if len(shape) == 2:
        return None
    if len(shape) != 3:
        raise ImageError(f"it is an array of {_by(shape)}, expected (H, W), (H, W, C) or (C, H, W): save one picture")
    # Grey and colours turn into one another; so if they aren't there in the number wanted, the other will do.
    numbers = (channels, 4 - channels) if channels in (1, 3) else (channels,)
    for number in numbers:
        axes = [axis for axis in (0, 2) if shape[axis] == number]
        if len(axes) == 2:
            raise ImageError(
                f"it is an array of {_by(shape)}, of which the first axis or the last may be the {number} channels: "
                "make it a tensor (C, H, W) in [0, 1] yourself, with torch.from_numpy"
            )
        if axes:
            return axes[0]
    expected = "1 or 3" if channels in (1, 3) else str(channels)
    raise ImageError(
        f"it is an array of {_by(shape)}, expected {expected} channels first or last: "
        f"give channels={min(shape[0], shape[2])}, if that is their number"
    )


def _by(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape)) or "a single number"
