"""Animated GIF, WebP and PNG files, by Pillow."""

import struct
from collections.abc import Callable
from io import BytesIO
from math import fsum
from pathlib import Path
from typing import NamedTuple

import torch
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from convscope.errors import ImageError
from convscope.image import png
from convscope.image.film.film import Film, Frames
from convscope.image.film.gif import gif_timing
from convscope.image.film.timing import Timing, as_browsers_show
from convscope.image.film.webp import webp_timing
from convscope.image.pillow import read_opened
from convscope.image.samples import Wanted


class _GifFile(GifImageFile):
    """Takes every frame for one of colours: Pillow fails at colours that come after a grey frame."""

    def _is_palette_needed(self, p: bytes) -> bool:
        return True


class _Kind(NamedTuple):
    # Pillow's classes are used directly: `Image.open` warns of large pictures through the whole process's warnings.
    opened: Callable[[BytesIO], ImageFile]
    timing: Callable[[bytes], Timing]


def open_animation(file: Path, kind: str, frames_per_second: float | None, pixel_limit: int) -> Film:
    """The film in a file that is of this `kind`. Raises ImageError for a still picture, and as `Film` does."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ImageError(f"can't read {str(file)!r}: {error.strerror or error}") from error
    timing = ANIMATIONS[kind].timing(data)
    if not timing.seconds:
        raise ImageError(
            f"can't read {str(file)!r} as a film: it is {kind} without animation; expected frames: "
            "read it with read_image, or name the folder it is in"
        )

    def decode() -> Frames:
        return _frames(data, ANIMATIONS[kind].opened, timing, Wanted(pixel_limit=pixel_limit))

    count = len(timing.seconds)
    return Film(file, decode, frames_per_second=frames_per_second or count / fsum(timing.seconds), frames=count)


def _frames(data: bytes, opened: Callable[[BytesIO], ImageFile], timing: Timing, wanted: Wanted) -> Frames:
    with opened(BytesIO(data)) as picture:
        wanted.check_size(picture.height, picture.width)
        # A PNG may hold, before its frames, another picture for programs that show no animations.
        first = int(getattr(picture, "default_image", False))
        for index in range(len(timing.seconds)):
            picture.seek(first + index)
            levels = read_opened(picture, wanted)
            with torch.inference_mode(False):
                frame = torch.from_numpy(levels)
            yield frame
    if not timing.whole:
        raise ValueError("the file ends too early")


def _png_timing(data: bytes) -> Timing:
    """See `Timing`. A still picture has no frames."""
    seconds: list[float] = []
    try:
        for kind, content, _, _ in png.chunks(data):
            if kind == b"fcTL":
                delay, unit = struct.unpack_from(">HH", content, 20)
                seconds.append(as_browsers_show(delay / (unit or 100)))
    except (ValueError, struct.error):
        return Timing(seconds, whole=False)
    return Timing(seconds, whole=True)


ANIMATIONS = {
    "a GIF picture": _Kind(_GifFile, gif_timing),
    "WebP": _Kind(WebPImageFile, webp_timing),
    "PNG": _Kind(PngImageFile, _png_timing),
}
"""By what `identify` calls them."""
