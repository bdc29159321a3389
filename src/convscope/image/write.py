"""Writing pictures, whole or not at all, with the recipe inside."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from convscope.errors import ImageError, RecipeError
from convscope.image import png
from convscope.image.check import check_image
from convscope.image.recipe import Recipe
from convscope.image.viewable import viewable

if TYPE_CHECKING:
    from torch import Tensor

_KEYWORD = "convscope"


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside `path` to write to; renamed to `path` at the end, or removed on an exception.

    So that `path` holds the old file or the new one, never half of one. It has the suffix of `path`; missing folders
    are made. Raises ImageError if the file can't be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_path(Path(folder, "new", "notes.txt")) as temporary:
    ...         _ = temporary.write_text("whole")
    ...     print(Path(folder, "new", "notes.txt").read_text())
    whole
    """
    # A link stays a link: it is the file it leads to that is replaced.
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".convscope-{secrets.token_hex(8)}{target.suffix}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(target)
    except OSError as error:
        raise ImageError(f"can't write {os.fspath(path)!r}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def check_place(path: str | os.PathLike[str]) -> None:
    """Raise ImageError where it is known beforehand that no file can be written at `path`: before work, not after."""
    target = Path(os.path.realpath(path))
    above = next(each for each in target.parents if each.exists())
    if target.is_dir():
        reason = "it is a folder; name a file"
    elif not above.is_dir():
        reason = f"{above.name} is a file, not a folder"
    elif not os.access(above, os.W_OK | os.X_OK):
        reason = f"nothing may be written in {above}; choose another place"
    else:
        return
    raise ImageError(f"can't write {os.fspath(path)!r}: {reason}")


def write_png(path: str | os.PathLike[str], picture: Image.Image, recipe: Recipe | None = None) -> None:
    """Write `picture` as PNG, with `recipe` as JSON in a text chunk named `convscope`.

    The same picture and recipe give the same bytes. Raises ImageError for a suffix other than `.png`, and if the file
    can't be written.
    """
    if Path(path).suffix.lower() != ".png":
        reason = "convscope writes PNG, since it carries the recipe"
        raise ImageError(f"can't write {os.fspath(path)!r}: {reason}; expected a name ending in .png")
    with atomic_path(path) as temporary:
        temporary.write_bytes(png_bytes(picture, recipe))


def png_bytes(picture: Image.Image, recipe: Recipe | None = None) -> bytes:
    """`picture` as the bytes of a PNG, with `recipe` in it as `write_png` writes it."""
    text = PngInfo()
    if recipe is not None:
        text.add_text(_KEYWORD, recipe.to_json())
    buffer = BytesIO()
    picture.save(buffer, format="PNG", pnginfo=text)
    return buffer.getvalue()


def read_recipe(path: str | os.PathLike[str]) -> Recipe:
    """The recipe in a PNG that convscope wrote. Raises RecipeError if the file is no PNG or holds none."""
    try:
        return _recipe_of(Path(path).read_bytes())
    except OSError as error:
        raise RecipeError(f"can't read {os.fspath(path)!r}: {error.strerror or error}") from error
    except (RecipeError, ValueError) as error:
        raise RecipeError(f"can't read {os.fspath(path)!r}: {error}; expected a PNG as convscope wrote it") from error


def _recipe_of(data: bytes) -> Recipe:
    prefix = _KEYWORD.encode() + b"\0"
    for kind, content, _, _ in png.chunks(data):
        if kind == b"tEXt" and content.startswith(prefix):
            return Recipe.from_json(content.removeprefix(prefix).decode("latin-1"))
    raise RecipeError("it holds no recipe")


def to_picture(image: "Tensor") -> Image.Image:
    """An image (C, H, W) as an RGB or grey picture of 8 bits, by `viewable`; values outside [0, 1] are clipped.

    Raises ImageError for anything else, and for values that are not a number.

    >>> import torch
    >>> to_picture(torch.full((3, 4, 6), 0.5)).getpixel((0, 0))
    (128, 128, 128)
    """
    check_image(image)
    if image.ndim != 3:
        raise ImageError(f"got a batch of shape {tuple(image.shape)}, expected one image (C, H, W): choose one of it")
    image = viewable(image.detach().float())
    if image.isnan().any():
        raise ImageError("got an image with NaN in it, expected values in [0, 1]")
    levels = (image.clamp(0, 1) * 255).round().byte().cpu()
    return Image.fromarray((levels[0] if len(levels) == 1 else levels.permute(1, 2, 0)).numpy())
