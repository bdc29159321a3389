"""Embedded colour profiles."""

import io
from functools import lru_cache

from PIL import Image, ImageCms

_COLOUR_SPACES = {"RGB": "RGB", "RGBA": "RGB", "CMYK": "CMYK"}


def to_srgb(picture: Image.Image) -> Image.Image:
    """`picture` in sRGB, by its ICC profile; `picture` itself if the profile is missing, broken, or sRGB.

    >>> to_srgb(Image.new("RGB", (2, 2), "red")).getpixel((0, 0))
    (255, 0, 0)
    """
    data = picture.info.get("icc_profile")
    if not data or picture.mode not in _COLOUR_SPACES:
        return picture
    try:
        transform = _transform(data, picture.mode)
        converted = None if transform is None else ImageCms.applyTransform(picture, transform)
    except ImageCms.PyCMSError:
        return picture
    return picture if converted is None else converted


# Most pictures of a folder share a few profiles. A transform may be used by several threads at once.
@lru_cache(maxsize=16)
def _transform(data: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """What brings pictures of this mode to sRGB, if the profile `data` can be read and is another."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        description = ImageCms.getProfileDescription(profile)
    except (OSError, ImportError, ImageCms.PyCMSError):  # ImportError: a Pillow without LittleCMS
        return None
    if profile.profile.xcolor_space.strip() != _COLOUR_SPACES[mode] or "sRGB" in description:
        return None
    to = "RGB" if mode == "CMYK" else mode
    return ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), mode, to)
