"""Reading a picture from a file."""

import hashlib
import os
from itertools import islice
from pathlib import Path, PureWindowsPath

import torch
from torch import Tensor

from convscope.errors import ImageError, nearest
from convscope.image.bundled import PHOTOGRAPHS, photograph
from convscope.image.decode import decode
from convscope.image.formats import HEAD, identify
from convscope.image.provenance import remember
from convscope.image.recipe import Input
from convscope.image.resize import resize

PIXEL_LIMIT = 100_000_000
# Comparing names takes time, and a folder may hold millions.
_NEIGHBOURS_COMPARED = 2000


def read_image(path: str | os.PathLike[str], size: int | None = None, *, pixel_limit: int = PIXEL_LIMIT) -> Tensor:
    """Read a picture: float32 (3, H, W), RGB in [0, 1].

    `path` is a PNG, JPEG or WebP file, whatever its suffix, or the name of a bundled photograph (`PHOTOGRAPHS`) unless
    there is a file of that name. The picture comes upright as its EXIF says, converted to sRGB if its ICC profile
    says that it is not, laid over white where it is transparent; grey as three equal channels; of an animation the
    first frame. 16-bit PNGs keep their precision. With `size`, its longer side is made at most that many pixels, by
    antialiased bicubic interpolation; it is never made larger.

    Raises ImageError for a file that is missing, damaged, cut off, of another format, or of more than `pixel_limit`
    pixels, and MissingExtra for a bundled photograph whose package is not installed.

    >>> read_image("chelsea", size=224).shape
    torch.Size([3, 149, 224])
    """
    if size is not None and size < 1:
        raise ImageError(f"got size={size}, expected the longer side in pixels, at least 1")
    name = os.fspath(path)
    try:
        file, shown = _find(name)
        data = _read_bytes(file)
        pixels = decode(data, pixel_limit=pixel_limit)
    except ImageError as error:
        raise ImageError(f"can't read {name!r}: {error}") from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"can't read {name!r}: {reason}; expected a file that can be opened") from error
    # Else an image read in inference mode would be barred from gradients for ever.
    with torch.inference_mode(False):
        image = torch.from_numpy(pixels)
        if size is not None and max(image.shape[1:]) > size:
            image = resize(image, _reduced(image.shape[1], image.shape[2], size))
    return remember(image, Input(shown, hashlib.sha256(data).hexdigest(), size))


def _find(name: str) -> tuple[Path, str]:
    """The file that `name` means, and what a recipe calls it."""
    file = Path(name)
    if file.is_dir():
        raise ImageError("it is a folder; expected a file: name one that is in it")
    if file.is_file():
        return file, PureWindowsPath(file.name).name
    if file.exists():
        raise ImageError("it is a device, not a file; expected a PNG, JPEG or WebP file")
    if name in PHOTOGRAPHS:
        return photograph(name), name
    raise ImageError(f"no such file{_suggestions(file)}")


def _suggestions(file: Path) -> str:
    """What may have been meant by the name of a file that isn't there."""
    hints = ""
    if not file.parent.is_dir():
        hints += f", and no folder {file.parent}"
    elif neighbours := [each.name for each in islice(file.parent.iterdir(), _NEIGHBOURS_COMPARED) if each.is_file()]:
        hints += f"; files there, {nearest(file.name, sorted(neighbours))}"
    if file.name == str(file):
        hints += f"; bundled photographs, {nearest(file.stem, PHOTOGRAPHS)}"
    return hints


def _read_bytes(file: Path) -> bytes:
    with file.open("rb") as stream:
        head = stream.read(HEAD)
        # What is no picture may be huge, and its name is all that is wrong with it.
        return head + stream.read() if identify(head) in ("PNG", "JPEG", "WebP") else head


def _reduced(height: int, width: int, longer: int) -> tuple[int, int]:
    scale = longer / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))
