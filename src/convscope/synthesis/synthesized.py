"""Synthesized: images that were made, and the picture of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image
from torch import Tensor

from convscope.errors import ImageError
from convscope.image.recipe import Recipe
from convscope.image.write import to_picture
from convscope.render.grid import grid
from convscope.render.result import Pictured


@dataclass(frozen=True, kw_only=True)
class Synthesized(Pictured):
    """Images that were optimized.

    `images` are `(N, C, H, W)` in [0, 1], in the steps of 1/255 that a file holds, so that what is said of them is true
    of the files; `values` `(steps, N)` the objective at each step; `labels` say what each of them is.
    """

    images: Tensor
    values: Tensor
    labels: Sequence[str]
    recipe: Recipe

    @property
    def image(self) -> Tensor:
        """The first of them, `(C, H, W)`."""
        return self.images[0]

    @property
    def caption(self) -> str:
        """What a sheet says of the result beside its parameters."""
        return ""

    def picture(self, *, which: int | None = None, columns: int | None = None) -> Image.Image:
        """One image as it is, number `which`; or all of them, each above what it is, where there are several."""
        count = len(self.images)
        if which is not None and not 0 <= which < count:
            raise ImageError(f"got which={which}, expected 0 to {count - 1}: there are {count} images")
        if which is not None or count == 1:
            return to_picture(self.images[which or 0])
        return grid([to_picture(each) for each in self.images], labels=list(self.labels), columns=columns)


def as_files_hold(images: Tensor) -> Tensor:
    """Images in [0, 1] in steps of 1/255."""
    return (images * 255).round().clamp(0, 255) / 255
