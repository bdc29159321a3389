"""The recipe that a film carries."""

import os
from pathlib import Path

from PIL.GifImagePlugin import GifImageFile
from PIL.WebPImagePlugin import WebPImageFile

from convscope.errors import ImageError, RecipeError
from convscope.image.film.comment import from_comment
from convscope.image.film.read import kind_of_film, pictures_in
from convscope.image.film.video import read_comment
from convscope.image.film.webp import EXIF_DESCRIPTION
from convscope.image.recipe import Recipe
from convscope.image.write import read_recipe


def read_film_recipe(path: str | os.PathLike[str]) -> Recipe:
    """The recipe in a film that convscope wrote; in a folder, that of the first picture.

    Raises RecipeError if there is no such film or it holds none; MissingExtra for a video, if PyAV is not installed.
    """
    place = Path(path)
    try:
        if place.is_dir():
            return read_recipe(pictures_in(place)[0])
        kind = kind_of_film(place)
        comment = "" if kind == "PNG" else _comment(place, kind)
    except ImageError as error:
        raise RecipeError(str(error)) from error
    except (OSError, EOFError, SyntaxError, ValueError) as error:  # of Pillow, on damaged bytes
        raise RecipeError(f"can't read {os.fspath(path)!r}: the file is damaged ({error}); get it anew") from error
    if kind == "PNG":
        return read_recipe(place)
    try:
        return from_comment(comment)
    except RecipeError as error:
        expected = "expected a film as convscope wrote it"
        raise RecipeError(f"can't read {os.fspath(path)!r}: {error}; {expected}") from error


def _comment(file: Path, kind: str) -> str:
    if kind == "a GIF picture":
        with GifImageFile(file) as picture:
            return bytes(picture.info.get("comment", b"")).decode("latin-1")
    if kind == "WebP":
        with WebPImageFile(file) as picture:
            return str(picture.getexif().get(EXIF_DESCRIPTION, ""))
    return read_comment(file)
