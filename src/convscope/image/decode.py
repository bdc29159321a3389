"""The bytes of a picture file to pixels, with all that its format may hold taken into account."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from convscope.errors import ImageError
from convscope.image import jpeg, png
from convscope.image.colour import to_srgb
from convscope.image.exif import orientation, upright
from convscope.image.formats import identify

# Pillow's classes are used directly, not by `Image.open`: it warns of large pictures, through the warnings of the whole
# process, and opens what was not asked for.


def decode(data: bytes, *, pixel_limit: int) -> NDArray[np.float32]:
    """The pixels (3, H, W) in [0, 1] of the PNG, JPEG or WebP file `data`: upright, in sRGB, over white.

    Raises ImageError for another format, for more than `pixel_limit` pixels, and for a file that is not whole.
    """
    kind = identify(data)
    decoder = {"PNG": _decode_png, "JPEG": _decode_jpeg, "WebP": _decode_webp}.get(kind)
    if decoder is None:
        raise ImageError(f"it is {kind}; expected a PNG, JPEG or WebP picture: convert it to one of these")
    try:
        return decoder(data, pixel_limit)
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # on damaged bytes decoders fail in many ways
        raise ImageError(f"the {kind} file is damaged ({error}); expected a whole one: get it anew") from error


def _decode_png(data: bytes, pixel_limit: int) -> NDArray[np.float32]:
    parts = png.take_apart(data)
    _check_size(parts.width, parts.height, pixel_limit)
    png.check_pixels(parts)
    picture = PngImageFile(io.BytesIO(parts.decodable))
    if parts.bits == 16 and to_srgb(picture) is picture:
        return _finish(_sixteen_bits(parts), 65535, parts.exif)
    if parts.bits in (2, 4) and parts.colour_type == 0 and "transparency" in picture.info:
        # Pillow spreads the grey levels over 0 … 255, but not the one that stands for transparency.
        picture.info["transparency"] *= 255 // (2**parts.bits - 1)
    return _finish(_eight_bits(picture), 255, parts.exif)


def _decode_jpeg(data: bytes, pixel_limit: int) -> NDArray[np.float32]:
    parts = jpeg.take_apart(data)
    picture: Image.Image = JpegImageFile(io.BytesIO(parts.decodable))
    _check_size(picture.width, picture.height, pixel_limit)
    if _ends_in_grey(picture) and JpegImageFile(io.BytesIO(parts.filled)).tobytes() != picture.tobytes():
        raise ValueError(f"its header says {picture.width} × {picture.height}, and its pixels are fewer")
    if picture.mode == "CMYK" and "adobe" not in picture.info:
        # Adobe's files hold the ink inverted, which Pillow takes for granted; others hold the ink.
        picture = ImageChops.invert(picture)
    return _finish(_eight_bits(picture), 255, parts.exif)


def _decode_webp(data: bytes, pixel_limit: int) -> NDArray[np.float32]:
    if len(data) < 8 + int.from_bytes(data[4:8], "little"):
        raise ValueError("the file ends too early")
    picture = WebPImageFile(io.BytesIO(data))
    _check_size(picture.width, picture.height, pixel_limit)
    return _finish(_eight_bits(picture), 255, picture.info.get("exif", b""))


def _check_size(width: int, height: int, pixel_limit: int) -> None:
    if width * height > pixel_limit:
        raise ImageError(
            f"it has {width} × {height} = {width * height / 1e6:.4g} million pixels, expected at most "
            f"{pixel_limit / 1e6:.4g} million: make it smaller, or raise pixel_limit"
        )


def _ends_in_grey(picture: Image.Image) -> bool:
    """Whether the last pixel is what decoders paint where coded pixels are missing: 128, or 127 when inverted."""
    last = picture.crop((picture.width - 1, picture.height - 1, picture.width, picture.height))
    return set(last.tobytes()) <= {127, 128}


def _eight_bits(picture: Image.Image) -> NDArray[np.uint8]:
    """Levels 0 … 255 (H, W, C) of a picture of any mode: grey, RGB or RGBA."""
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
    elif picture.mode == "P":
        picture = picture.convert("RGB")
    picture = to_srgb(picture)
    if picture.mode == "1":
        picture = picture.convert("L")
    elif picture.mode == "CMYK":
        picture = picture.convert("RGB")
    return np.atleast_3d(np.asarray(picture))


def _sixteen_bits(parts: png.PNG) -> NDArray[np.uint16]:
    """Levels 0 … 65535 (H, W, C) of a 16-bit PNG: grey, RGB or RGBA.

    But for grey, Pillow keeps only the high byte of each sample. So it is asked twice, the second time for the low
    byte; and of grey with alpha, whose four bytes a pixel it can unpack as RGBA, for all of them at once.
    """
    picture = PngImageFile(io.BytesIO(parts.decodable))
    if parts.colour_type == 4:
        return _unpacked(parts, "RGBA").view(">u2").astype(np.uint16)[..., [0, 0, 0, 1]]
    levels: NDArray[np.uint16] = np.atleast_3d(np.asarray(picture)).astype(np.uint16)
    if parts.colour_type != 0:
        levels = levels * np.uint16(256) + _unpacked(parts, picture.mode + ";16L")
    if "transparency" not in picture.info:
        return levels
    transparent = (levels == picture.info["transparency"]).all(axis=2, keepdims=True)
    alpha = np.where(transparent, 0, 65535).astype(np.uint16)
    return np.concatenate([np.broadcast_to(levels, (*levels.shape[:2], 3)), alpha], axis=2)


def _unpacked(parts: png.PNG, raw_mode: str) -> NDArray[np.uint8]:
    """The pixels of a PNG, its samples unpacked as by another of Pillow's raw modes."""
    picture = PngImageFile(io.BytesIO(parts.decodable))
    [(codec, extents, offset, _)] = picture.tile
    picture.tile = [(codec, extents, offset, raw_mode)]  # type: ignore[list-item]  # a plain tuple before Pillow 11
    return np.asarray(picture)


def _finish(levels: NDArray[Any], white: int, exif: bytes) -> NDArray[np.float32]:
    """Levels 0 … `white` (H, W, 1 | 3 | 4) as stored to pixels (3, H, W) in [0, 1], upright and over white."""
    pixels: NDArray[np.float32] = upright(levels, orientation(exif)).transpose(2, 0, 1).astype(np.float32, order="C")
    pixels /= white
    if len(pixels) == 4:
        colours, alpha = pixels[:3], pixels[3]
        pixels = colours * alpha + (1 - alpha)
    return pixels if len(pixels) == 3 else np.repeat(pixels, 3, axis=0)
