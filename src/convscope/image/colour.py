"""Embedded colour profiles."""

import io

from PIL import Image, ImageCms

_COLOUR_SPACES = {"RGB": "RGB", "RGBA": "RGB", "CMYK": "CMYK"}


def to_srgb(picture: Image.Image) -> Image.Image:
    """`picture` in sRGB, by its ICC profile; `picture` itself if the profile is missing, broken, or sRGB.

    >>> to_srgb(Image.new("RGB", (2, 2), "red")).getpixel((0, 0))
    (255, 0, 0)
    """
    profile = _other_profile(picture)
    if profile is None:
        return picture
    mode = "RGB" if picture.mode == "CMYK" else picture.mode
    try:
        converted = ImageCms.profileToProfile(picture, profile, ImageCms.createProfile("sRGB"), outputMode=mode)
    except ImageCms.PyCMSError:
        return picture
    return picture if converted is None else converted


def _other_profile(picture: Image.Image) -> ImageCms.ImageCmsProfile | None:
    """The profile of `picture`, if it can be read and is not sRGB."""
    data = picture.info.get("icc_profile")
    if not data or picture.mode not in _COLOUR_SPACES:
        return None
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        description = ImageCms.getProfileDescription(profile)
    except (OSError, ImportError, ImageCms.PyCMSError):  # ImportError: a Pillow without LittleCMS
        return None
    fits = profile.profile.xcolor_space.strip() == _COLOUR_SPACES[picture.mode]
    return profile if fits and "sRGB" not in description else None
