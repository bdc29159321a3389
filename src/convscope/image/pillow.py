"""PNG, JPEG and WebP files to samples, by Pillow and with what Pillow leaves out."""

import io
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from convscope.image import jpeg, png
from convscope.image.colour import to_srgb
from convscope.image.exif import lies, orientation, upright
from convscope.image.samples import Samples, Wanted, own_white, to_image

# Pillow's classes are used directly, not by `Image.open`: it warns of large pictures, through the warnings of the whole
# process, and opens what was not asked for.


def read_png(data: bytes, wanted: Wanted) -> Samples:
    """The samples of a PNG. Raises ImageError if it is too large, ValueError and others if it is damaged."""
    wanted.check_page(1)
    parts = png.take_apart(data)
    wanted.check_size(parts.height, parts.width)
    png.check_pixels(parts)
    picture = PngImageFile(io.BytesIO(parts.decodable))
    if parts.bits == 16 and in_srgb(picture, wanted) is picture:
        return _samples(_sixteen_bits(parts), 65535, parts.exif)
    # Pillow spreads the levels of 1, 2 and 4 bits over 0 … 255, but not the one that stands for transparency.
    white = 2**parts.bits - 1 if parts.colour_type == 0 else 255
    if parts.bits in (2, 4) and parts.colour_type == 0 and "transparency" in picture.info:
        picture.info["transparency"] *= 255 // white
    return _samples(eight_bits(picture, wanted) // (255 // white), white, parts.exif)


def read_jpeg(data: bytes, wanted: Wanted) -> Samples:
    """The samples of a JPEG. Raises ImageError if it is too large, ValueError and others if it is damaged."""
    wanted.check_page(1)
    parts = jpeg.take_apart(data)
    file = JpegImageFile(io.BytesIO(parts.decodable))
    width, height = file.size
    wanted.check_size(height, width)
    turned = orientation(parts.exif)
    fraction = _fraction(height, width, turned, wanted.at_least)
    picture: Image.Image = _at(fraction, file)
    if _ends_in_grey(picture):
        filled = _at(fraction, JpegImageFile(io.BytesIO(parts.filled)))
        if filled.tobytes() != picture.tobytes():
            raise ValueError(f"its header says {width} × {height}, and its pixels are fewer")
    if picture.mode == "CMYK" and "adobe" not in picture.info:
        # Adobe's files hold the ink inverted, which Pillow takes for granted; others hold the ink.
        picture = ImageChops.invert(picture)
    whole = (width, height) if lies(turned) else (height, width)
    return replace(_samples(eight_bits(picture, wanted), 255, parts.exif), whole=whole if fraction > 1 else None)


def _fraction(height: int, width: int, turned: int, at_least: tuple[int, int] | None) -> int:
    """2, 4 or 8 for a half, a quarter or an eighth of each side of a JPEG, if that is still enough; else 1."""
    if at_least is None:
        return 1
    rows, columns = reversed(at_least) if lies(turned) else at_least
    return next((each for each in (8, 4, 2) if height >= each * rows and width >= each * columns), 1)


def _at(fraction: int, file: JpegImageFile) -> JpegImageFile:
    if fraction > 1:
        file.draft(file.mode, (file.width // fraction, file.height // fraction))
    return file


def read_webp(data: bytes, wanted: Wanted) -> Samples:
    """The samples of a WebP. Raises ImageError if it is too large, ValueError and others if it is damaged."""
    wanted.check_page(1)
    if len(data) < 8 + int.from_bytes(data[4:8], "little"):
        raise ValueError("the file ends too early")
    picture = WebPImageFile(io.BytesIO(data))
    wanted.check_size(picture.height, picture.width)
    return _samples(eight_bits(picture, wanted), 255, picture.info.get("exif", b""))


def read_opened(picture: Image.Image, wanted: Wanted) -> NDArray[np.float32]:
    """The image of a picture that Pillow has opened already, upright if it knows. Raises ImageError if it has none."""
    levels = eight_bits(picture, wanted)
    samples = _samples(levels, 255, picture.info.get("exif", b""))
    return to_image(replace(samples, white=own_white(levels)), wanted)


def in_srgb(picture: Image.Image, wanted: Wanted) -> Image.Image:
    """`picture` in sRGB, by its ICC profile; as it is if its stored values are what is wanted."""
    return to_srgb(picture) if wanted.as_picture and wanted.window is None else picture


def eight_bits(picture: Image.Image, wanted: Wanted) -> NDArray[np.uint8]:
    """Levels 0 … 255 (H, W, C) of a picture of any mode: grey or RGB, with alpha or without; CMYK if wanted so."""
    if picture.has_transparency_data:
        picture = picture.convert("LA" if picture.mode in ("1", "L", "LA") else "RGBA")
    elif picture.mode == "P":
        picture = picture.convert("RGB")
    picture = in_srgb(picture, wanted)
    if picture.mode == "1":
        picture = picture.convert("L")
    elif picture.mode == "CMYK" and wanted.as_picture:
        picture = picture.convert("RGB")
    return np.atleast_3d(np.asarray(picture))


def _samples(levels: NDArray[Any], white: float, exif: bytes) -> Samples:
    # Ink is four channels too, but is only asked for as it is.
    has_alpha = levels.shape[2] in (2, 4)
    return Samples(upright(levels, orientation(exif)), white, "straight" if has_alpha else None)


def _ends_in_grey(picture: Image.Image) -> bool:
    """Whether the last pixel is what decoders paint where coded pixels are missing: 128, or 127 when inverted."""
    last = picture.crop((picture.width - 1, picture.height - 1, picture.width, picture.height))
    return set(last.tobytes()) <= {127, 128}


def _sixteen_bits(parts: png.PNG) -> NDArray[np.uint16]:
    """Levels 0 … 65535 (H, W, C) of a 16-bit PNG: grey or RGB, with alpha or without.

    But for grey, Pillow keeps only the high byte of each sample. So it is asked twice, the second time for the low
    byte; and of grey with alpha, whose four bytes a pixel it can unpack as RGBA, for all of them at once.
    """
    picture = PngImageFile(io.BytesIO(parts.decodable))
    if parts.colour_type == 4:
        return _unpacked(parts, "RGBA").view(">u2").astype(np.uint16)
    levels: NDArray[np.uint16] = np.atleast_3d(np.asarray(picture)).astype(np.uint16)
    if parts.colour_type != 0:
        levels = levels * np.uint16(256) + _unpacked(parts, picture.mode + ";16L")
    if "transparency" not in picture.info:
        return levels
    transparent = (levels == picture.info["transparency"]).all(axis=2, keepdims=True)
    return np.concatenate([levels, np.where(transparent, 0, 65535).astype(np.uint16)], axis=2)


def _unpacked(parts: png.PNG, raw_mode: str) -> NDArray[np.uint8]:
    """The pixels of a PNG, its samples unpacked as by another of Pillow's raw modes."""
    picture = PngImageFile(io.BytesIO(parts.decodable))
    [(codec, extents, offset, _)] = picture.tile
    picture.tile = [(codec, extents, offset, raw_mode)]  # type: ignore[list-item]  # a plain tuple before Pillow 11
    return np.asarray(picture)
