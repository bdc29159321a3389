"""Adversarial: images that were changed a little so that the network answers otherwise."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from convscope.errors import ImageError
from convscope.fooling.ball import lengths
from convscope.image.recipe import Recipe
from convscope.image.write import png_bytes, to_picture
from convscope.network.heads import Prediction
from convscope.render.grid import grid
from convscope.render.result import Pictured

# What the largest difference is magnified to, of the 0.5 there is on both sides of grey.
_SHOWN = 0.45


@dataclass(frozen=True)
class Norms:
    """How large the changes are, `(N,)` each: their length, the largest value, and the length over the image's own."""

    l2: Tensor
    linf: Tensor
    relative: Tensor

    @classmethod
    def between(cls, images: Tensor, originals: Tensor) -> "Norms":
        change = images - originals
        length = lengths(change)
        own = lengths(originals).clamp(min=torch.finfo(change.dtype).tiny)
        return cls(length, change.abs().flatten(1).amax(dim=1), length / own)


@dataclass(frozen=True, kw_only=True)
class Adversarial(Pictured):
    """Adversarial images.

    `originals`, `exact` and `images` are `(N, C, H, W)` in [0, 1]: as they were, as they were found, and as an 8-bit
    file holds these. All that is said is said of the last: `before` and `after` are the best answers, the first of each
    list the class; `successes` `(N,)` tells whether that is what was wanted. `labels` are the classes that images were
    to be led away from, `targets` those they were to be led to, or None. `queries` and `gradients` `(N,)` are the
    forward and backward passes taken to find them. `single` says that one image was given, not a batch.
    """

    originals: Tensor
    exact: Tensor
    images: Tensor
    labels: Sequence[str]
    targets: Sequence[str] | None
    before: Sequence[Sequence[Prediction]]
    after: Sequence[Sequence[Prediction]]
    successes: Tensor
    queries: Tensor
    gradients: Tensor
    single: bool
    recipe: Recipe

    @property
    def image(self) -> Tensor:
        """The first adversarial image, `(C, H, W)`."""
        return self.images[0]

    @property
    def success(self) -> bool | Tensor:
        """Whether the network answers as was wanted to what the file holds; of a batch `(N,)`."""
        return bool(self.successes[0]) if self.single else self.successes

    @property
    def perturbation(self) -> Tensor:
        """What was added, as the file holds it, in the shape of what was given."""
        change = self.images - self.originals
        return change[0] if self.single else change

    @property
    def norms(self) -> Norms:
        """Of the change that the file holds."""
        return Norms.between(self.images, self.originals)

    @property
    def norms_before_rounding(self) -> Norms:
        """Of the change as it was found."""
        return Norms.between(self.exact, self.originals)

    def magnified(self, factor: float | None = None) -> tuple[Tensor, float]:
        """The changes on grey, so many times as large, and how many: by default as far as there is room."""
        change = self.images - self.originals
        largest = float(change.abs().max())
        times = factor if factor is not None else float(math.floor(_SHOWN / largest)) if largest else 1.0
        times = max(times, 1.0) if factor is None else times
        return (0.5 + times * change).clamp(0, 1), times

    # It has more options than what it inherits, which is what a result is for.
    def picture(self, *, which: int | None = None, figure: bool = False, magnify: float | None = None) -> Image.Image:
        """The adversarial image as it is, number `which`; all of them on a sheet where there are several.

        As a `figure` each stands between what it was and the difference, magnified so many times.
        """
        count = len(self.images)
        if which is not None and not 0 <= which < count:
            raise ImageError(f"got which={which}, expected 0 to {count - 1}: there are {count} images")
        if magnify is not None and not 0 < magnify < math.inf:
            raise ImageError(f"got magnify={magnify}, expected more than 0")
        shown = range(count) if which is None else [which]
        if figure:
            return self._figure(shown, magnify)
        if len(shown) == 1:
            return to_picture(self.images[shown[0]])
        return grid(
            [to_picture(self.images[each]) for each in shown], labels=[told(self.after[each]) for each in shown]
        )

    def _figure(self, shown: Sequence[int], magnify: float | None) -> Image.Image:
        differences, times = self.magnified(magnify)
        pictures, labels = [], []
        for each in shown:
            pictures += [to_picture(images[each]) for images in (self.originals, self.images, differences)]
            labels += [told(self.before[each]), told(self.after[each]), f"difference × {times:g}"]
        return grid(pictures, labels=labels, columns=3)

    def _repr_png_(self) -> bytes:
        return png_bytes(self.picture(figure=True), self.recipe.with_picture(figure=True))


def told(predictions: Sequence[Prediction]) -> str:
    """The best answer in words.

    >>> told([Prediction("ostrich", 9, 0.987)])
    'ostrich 98.7%'
    """
    return f"{predictions[0].label} {predictions[0].probability:.1%}"
