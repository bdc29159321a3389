"""What every result that can be seen has in common."""

from abc import ABC, abstractmethod
from os import PathLike
from typing import Any

from PIL import Image

from convscope.image.recipe import Recipe
from convscope.image.write import png_bytes, write_png


class Pictured(ABC):
    """A result with a picture and the recipe it was made by: it can be saved, and notebooks show it.

    >>> class Grey(Pictured):
    ...     recipe = Recipe(method="grey", parameters={}, network=None, weights=None, threads=1, version="0.1.0")
    ...     def picture(self, *, side: int = 8) -> Image.Image:
    ...         return Image.new("RGB", (side, side), "grey")
    >>> Grey()._repr_png_()[1:4]
    b'PNG'
    """

    recipe: Recipe

    # `*_` has no meaning but to a type checker: it lets a result name its own options.
    @abstractmethod
    def picture(self, *_: Any, **options: Any) -> Image.Image:
        """The result as a picture. Options are keyword-only and can be written as JSON: a recipe tells them."""

    def save(self, path: str | PathLike[str], **options: Any) -> None:
        """Write `picture(**options)` as PNG, with the recipe and these options in it, whole or not at all.

        Raises `ImageError` where it can't be written, `RecipeError` for an option that is no JSON.
        """
        recipe = self.recipe.with_picture(**options)
        write_png(path, self.picture(**options), recipe)

    def _repr_png_(self) -> bytes:
        return png_bytes(self.picture(), self.recipe)
