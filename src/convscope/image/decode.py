"""The bytes of a file to pixels, by what the bytes say they are."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from convscope.errors import ConvscopeError, ImageError
from convscope.image.dicom import read_dicom
from convscope.image.formats import READABLE, identify
from convscope.image.npy import read_npy
from convscope.image.pillow import read_jpeg, read_png, read_webp
from convscope.image.samples import Samples, Wanted, to_image
from convscope.image.tiff import read_tiff

_READERS: dict[str, Callable[[bytes, Wanted], Samples]] = {
    "PNG": read_png,
    "JPEG": read_jpeg,
    "WebP": read_webp,
    "TIFF": read_tiff,
    "NPY": read_npy,
    "DICOM": read_dicom,
}


def decode(
    data: bytes,
    *,
    pixel_limit: int,
    channels: int = 3,
    page: int = 0,
    window: tuple[float, float] | None = None,
) -> NDArray[np.float32]:
    """The pixels (C, H, W) in [0, 1] of the file `data`, as `read_image` describes them.

    Raises ImageError for another format, for more than `pixel_limit` pixels, for a file that is not whole, and for
    what the file can't give; MissingExtra for a format whose library is not installed.
    """
    return decode_as(data, Wanted(channels=channels, page=page, window=window, pixel_limit=pixel_limit))[0]


def decode_as(data: bytes, wanted: Wanted) -> tuple[NDArray[np.float32], tuple[int, int]]:
    """The same for what is `wanted`, which may be smaller; and the rows and columns of the picture in the file."""
    kind = identify(data)
    if kind not in _READERS:
        raise ImageError(f"it is {kind}; expected a {READABLE} file: convert it to one of these")
    try:
        samples = _READERS[kind](data, wanted)
        return to_image(samples, wanted), samples.size
    except (ConvscopeError, MemoryError):
        raise
    except Exception as error:  # on damaged bytes decoders fail in many ways
        reason = " ".join(str(error).split())
        raise ImageError(f"the {kind} file is damaged ({reason}); expected a whole one: get it anew") from error
