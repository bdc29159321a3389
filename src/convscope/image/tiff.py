"""TIFF and BigTIFF files to samples, by tifffile."""

from io import BytesIO
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convscope.errors import ImageError, MissingExtra
from convscope.image import tiff_directories
from convscope.image.exif import upright
from convscope.image.pillow import eight_bits, in_srgb
from convscope.image.samples import Alpha, Samples, Wanted, own_white

if TYPE_CHECKING:
    from tifffile import TiffPage

_ORIENTATION, _PROFILE = 274, 34675
_UNCOMPRESSED, _JPEGS = 1, (6, 7)
# By the numbers that the format gives them. The rest, such as LAB and a camera's raw mosaic, isn't what it seems.
_WHITE_IS_ZERO, _GREY, _RGB, _PALETTE, _MASK, _INK, _YCBCR = 0, 1, 2, 3, 4, 5, 6
_ALPHA_KINDS: dict[int, Alpha] = {1: "premultiplied", 2: "straight"}


def read_tiff(data: bytes, wanted: Wanted) -> Samples:
    """The samples of one page. Raises ImageError for what can't be read, ValueError and others if it is damaged."""
    try:
        from tifffile import TiffFile
    except ImportError as error:
        raise MissingExtra("reading TIFF files", extra="tiff") from error

    places = tiff_directories.pages(data)
    wanted.check_page(len(places))
    with TiffFile(BytesIO(data)) as file:
        page = file.pages[places[wanted.page]].aspage()
        wanted.check_size(page.imagelength, page.imagewidth, page.samplesperpixel)
        _check_segments(page)
        return _samples(page, _decoded(page), wanted)


def _check_segments(page: "TiffPage") -> None:
    """Raise ValueError if the page has fewer strips or tiles, or shorter ones, than its size needs."""
    too_few = len(page.dataoffsets) < prod(page.chunked)
    bits = page.imagelength * page.imagewidth * page.samplesperpixel * page.bitspersample
    too_short = page.compression == _UNCOMPRESSED and sum(page.databytecounts) < bits // 8
    if too_few or too_short:
        raise ValueError(f"its header says {page.imagewidth} × {page.imagelength}, and its pixels are fewer")


def _decoded(page: "TiffPage") -> NDArray[Any]:
    """The stored values (H, W, C), as they lie."""
    if page.imagedepth > 1:
        raise ImageError(f"its page is a volume {page.imagedepth} deep, expected a picture: save its slices as pages")
    try:
        values = page.asarray()
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise
        packing = page.compression if page.compression != _UNCOMPRESSED else f"{page.bitspersample} bits"
        feature = f"reading a TIFF packed as {getattr(packing, 'name', packing)}"
        raise MissingExtra(feature, extra="tiff") from error
    return np.moveaxis(values, page.axes.index("S"), -1) if "S" in page.axes else values[..., None]


def _samples(page: "TiffPage", values: NDArray[Any], wanted: Wanted) -> Samples:
    colours = page.photometric
    if not (colours in (_WHITE_IS_ZERO, _GREY, _RGB, _PALETTE, _MASK, _INK) or page.compression in _JPEGS):
        name = getattr(colours, "name", colours)
        raise ImageError(f"its colours are stored as {name}, expected grey, RGB, a palette or CMYK: convert them")
    white = own_white(values)
    if values.dtype.kind == "u" and white:
        white = 2.0**page.bitspersample - 1
    if colours == _PALETTE and page.colormap is not None:
        # Some writers spread 8 bits over 16 by 256, some by 257, and some not at all.
        palette = page.colormap.T >> 8 if page.colormap.max() > 255 else page.colormap.T
        values, white = palette[values[..., 0]], 255.0
    elif wanted.as_picture and white in (255, 65535) and (converted := _in_srgb(page, values, wanted)) is not None:
        values, white = converted, 255.0
    values = upright(values, page.tags.valueof(_ORIENTATION, 1))
    return Samples(values, white, _alpha(page, values, white), inverted=colours == _WHITE_IS_ZERO)


def _in_srgb(page: "TiffPage", values: NDArray[Any], wanted: Wanted) -> NDArray[np.uint8] | None:
    """Levels 0 … 255 of ink, or of colours with a profile that isn't sRGB's; None of all others."""
    mode = {(_RGB, 3): "RGB", (_RGB, 4): "RGBA", (_INK, 4): "CMYK"}.get((page.photometric, values.shape[2]))
    if mode is None:
        return None
    levels = values if values.dtype == np.uint8 else values >> 8
    picture = Image.fromarray(levels.astype(np.uint8), mode)
    picture.info["icc_profile"] = page.tags.valueof(_PROFILE)
    if mode != "CMYK" and in_srgb(picture, wanted) is picture:
        return None
    return eight_bits(picture, wanted)


def _alpha(page: "TiffPage", values: NDArray[Any], white: float | None) -> Alpha | None:
    """What the last channel is, if it alone goes beyond grey or colours."""
    if white is None or len(page.extrasamples) != 1 or values.shape[2] not in (2, 4):
        return None
    return _ALPHA_KINDS.get(page.extrasamples[0])
