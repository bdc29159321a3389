"""Reading a picture from a file."""

import hashlib
import os
from itertools import islice
from pathlib import Path, PureWindowsPath

import torch
from torch import Tensor

from convscope.errors import ImageError, nearest
from convscope.image.bundled import PHOTOGRAPHS, photograph
from convscope.image.decode import decode, decode_as
from convscope.image.formats import FORMATS, HEAD, READABLE, identify
from convscope.image.provenance import remember
from convscope.image.recipe import Input
from convscope.image.resize import Size, resize
from convscope.image.samples import Wanted

PIXEL_LIMIT = 100_000_000
# Comparing names takes time, and a folder may hold millions.
_NEIGHBOURS_COMPARED = 2000


def read_image(
    path: str | os.PathLike[str],
    size: int | None = None,
    *,
    channels: int = 3,
    page: int = 0,
    window: tuple[float, float] | None = None,
    pixel_limit: int = PIXEL_LIMIT,
) -> Tensor:
    """Read a picture: float32 (C, H, W) in [0, 1].

    `path` is a PNG, JPEG, WebP, TIFF, NPY or DICOM file, whatever its suffix, or the name of a bundled photograph
    (`PHOTOGRAPHS`) unless there is a file of that name. The picture comes upright as its EXIF says.

    Parameters
    ----------
    size
        The longer side is made at most so many pixels, by antialiased bicubic interpolation; it is never made larger.
    channels
        3 gives RGB, grey as three equal channels, and 1 gives grey, of colours their luminance
        0.299 R + 0.587 G + 0.114 B; both in sRGB if an ICC profile says that the file is not, and laid over white where
        it is transparent. Any other number is that of the file's own channels, which are given as they are, an alpha
        channel too. A NumPy array is (H, W), (H, W, C) or (C, H, W), whichever fits.
    page
        Which page of a TIFF, or frame of a DICOM, counted from 0; of an animation it is always the first frame.
    window
        The stored values that become 0 and 1; those beyond are clipped. In a DICOM they are in the units it is rescaled
        to, such as Hounsfield's; the values are as stored, so colour profiles are not followed. Without it, unsigned
        integers of up to 16 bits are divided by the largest of their depth, floating-point values must be in [0, 1],
        and a DICOM is shown by its own window; all else needs it.

    Raises
    ------
    ImageError
        For a file that is missing, damaged, cut off, of another format, of other channels, without that page, of more
        than `pixel_limit` pixels, that holds NaN, or that needs a window.
    MissingExtra
        For a bundled photograph, a TIFF or a DICOM, if the package that has or reads it is not installed.

    >>> read_image("chelsea", size=224).shape
    torch.Size([3, 149, 224])
    """
    if size is not None and size < 1:
        raise ImageError(f"got size={size}, expected the longer side in pixels, at least 1")
    name = os.fspath(path)
    try:
        file, shown = _find(name)
        data = picture_bytes(file)
        pixels = decode(data, pixel_limit=pixel_limit, channels=channels, page=page, window=window)
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
    digest = hashlib.sha256(data).hexdigest()
    return remember(image, Input(shown, digest, size, channels=channels, page=page, window=window))


def read_picture(
    data: bytes,
    *,
    channels: int = 3,
    page: int = 0,
    window: tuple[float, float] | None = None,
    pixel_limit: int = PIXEL_LIMIT,
    at_least: Size | None = None,
) -> tuple[Tensor, Size]:
    """The picture in a file's bytes, as `read_image` reads it; and its rows and columns, upright.

    Where `at_least` so many rows and columns are enough, a JPEG comes at a half, a quarter or an eighth of its size if
    that has them. If that is twice the size it is then scaled to, 4000 × 3000 pixels take a fifth of the time to read,
    and what the network is fed differs in the mean by 0.1 to 0.5 of 255 levels for large photographs, by 0.8 for such
    that are sharp to the pixel, and by 1.8 for print and noise; EfficientNet-Lite0's logits, whose standard deviation
    is 0.9 to 1.5, by 0.25 at most, and its best class by nothing.

    Unlike `read_image`, it notes nowhere where the image came from. Raises as that does, with the reason only.
    """
    wanted = Wanted(channels=channels, page=page, window=window, pixel_limit=pixel_limit, at_least=at_least)
    pixels, size = decode_as(data, wanted)
    return torch.from_numpy(pixels), size


def _find(name: str) -> tuple[Path, str]:
    """The file that `name` means, and what a recipe calls it."""
    file = Path(name)
    if file.is_dir():
        raise ImageError("it is a folder; expected a file: name one that is in it")
    if file.is_file():
        return file, PureWindowsPath(file.name).name
    if file.exists():
        raise ImageError(f"it is a device; expected a {READABLE} file")
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


def picture_bytes(file: Path) -> bytes:
    """All that a file holds, or only how it begins if that is no picture's beginning. Raises OSError."""
    with file.open("rb") as stream:
        head = stream.read(HEAD)
        # What is no picture may be huge, and its name is all that is wrong with it.
        return head + stream.read() if identify(head) in FORMATS else head


def _reduced(height: int, width: int, longer: int) -> tuple[int, int]:
    scale = longer / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))
