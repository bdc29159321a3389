"""A class's template added to a picture or to noise, and what a linear classifier then takes it for (L59)."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import torch
from PIL import Image
from torch import Tensor

from convscope.errors import ConvscopeError, ImageError, nearest
from convscope.fooling.class_pictures import origin
from convscope.fooling.linear_classifier import LinearClassifier, template_picture
from convscope.image.check import check_image
from convscope.image.networkless import recipe_of
from convscope.image.recipe import Recipe
from convscope.image.write import to_picture
from convscope.network.heads import Prediction
from convscope.network.target import TargetLike
from convscope.render.grid import grid
from convscope.render.result import Pictured
from convscope.render.text import number

Direction: TypeAlias = Literal["template", "sign"]

_SIDE = 192
_NOISE = (0.25, 0.75)
# A strength is sought to this part of itself, up to a change of a pixel from black to white.
_SURE, _HALVINGS, _STRONGEST = 0.99, 20, 1.0


@dataclass(frozen=True)
class TemplateAdded(Pictured):
    """A picture `before` and `after` a template was added, both (C, H, W) and of 8 bits, as they would be written.

    `template` (C, H, W), at most 1, is that of the class `label`, `index`, or its signs; `strength` is what it was
    multiplied by. The probabilities are of those 8 bits.
    """

    before: Tensor
    after: Tensor
    template: Tensor
    label: str
    index: int
    strength: float
    probabilities_before: Tensor
    probabilities_after: Tensor
    labels: tuple[str, ...]
    recipe: Recipe

    @property
    def probability_before(self) -> float:
        """That of the class, before."""
        return float(self.probabilities_before[self.index])

    @property
    def probability_after(self) -> float:
        """That of the class, after."""
        return float(self.probabilities_after[self.index])

    @property
    def largest_change(self) -> float:
        """The largest change of a pixel, in [0, 1]."""
        return float((self.after - self.before).abs().max())

    @property
    def success(self) -> bool:
        """Whether the class is the most probable one, after."""
        return int(self.probabilities_after.argmax()) == self.index

    @property
    def caption(self) -> str:
        """What happened, in words."""
        return (
            f"{self.label}: {self.probability_before:.1%} before, {self.probability_after:.1%} after; "
            f"largest change {255 * self.largest_change:.0f} of 255 levels"
        )

    def answers(self, *, after: bool) -> list[Prediction]:
        """The five most probable classes."""
        values, indices = (self.probabilities_after if after else self.probabilities_before).sort(descending=True)
        best = list(zip(indices.tolist(), values.tolist(), strict=True))[:5]
        return [Prediction(self.labels[index], index, value) for index, value in best]

    def picture(self, *, image_only: bool = False) -> Image.Image:
        """The picture, the template and their sum, with what each is taken for; or the sum as it is."""
        if image_only:
            return to_picture(self.after)
        shown = [to_picture(self.before), template_picture(self.template), to_picture(self.after)]
        labels = [
            _told(self.answers(after=False)[0], self.label, self.probability_before),
            f"{self.label}, {number(255 * self.strength)} levels",
            _told(self.answers(after=True)[0], self.label, self.probability_after),
        ]
        return grid(shown, labels=labels, columns=3, cell=_SIDE)


def add_template(
    classifier: LinearClassifier,
    target: TargetLike,
    to: Tensor | Literal["noise"] = "noise",
    *,
    strength: float | None = None,
    direction: Direction = "template",
    seed: int = 0,
) -> TemplateAdded:
    """Add the template w of a class to a picture x, or to noise: x + strength · w / max|w|, in [0, 1] and in 8 bits.

    The class's logit rises by strength · ‖w‖² / max|w|, as long as no pixel becomes black or white. By the signs alone,
    x + strength · sign(w), it rises by strength · Σ|w|, the most that any change of no more in each pixel can.

    Parameters
    ----------
    classifier
        Of `linear_classifier`.
    target
        A class: its label or its index.
    to
        An image (C, H, W) in [0, 1] of any size, or "noise", even from ¼ to ¾.
    strength
        The largest change of a pixel, in [0, 1]; by default the least that makes the class 99% probable, and 1 where
        none does.
    direction
        "template" adds w, "sign" its signs.
    seed
        Of the noise.

    Raises
    ------
    TargetError
        There is no such class.
    ConvscopeError
        For a strength that is below 0, above 1 or not a number.
    ImageError
        For what is no image.

    >>> from convscope.fooling.linear_classifier import linear_classifier
    >>> made = add_template(linear_classifier("digits", regularization=1e-3), "3")
    >>> made.success, made.probability_after >= 0.99
    (True, True)
    """
    if strength is not None and not 0 <= strength <= 1:  # NaN, too
        raise ConvscopeError(f"got strength={strength}; expected 0 (no change) to 1 (from black to white)")
    if direction not in get_args(Direction):
        raise ConvscopeError(f"no direction {direction!r}; {nearest(str(direction), get_args(Direction))}")
    network = classifier.network
    index = network.target(target).index
    if index is None:
        raise ConvscopeError(f"got the target {target!r}; expected a class: its label or its index")
    before = _in_bits(_picture(classifier, to, seed))
    template = classifier.templates[index]
    added_on = template.sign() if direction == "sign" else template / template.abs().max().clamp(min=1e-30)

    def added(by: float) -> Tensor:
        return _in_bits((before + by * added_on).clamp(0, 1))

    used = _least(classifier, added, index) if strength is None else float(strength)
    after = added(used)
    with torch.no_grad():
        probabilities = network.logits(torch.stack([before, after])).double().softmax(1)
    of = {"parameters": dict(classifier.recipe.parameters), "seed": classifier.recipe.seed}
    parameters = {
        "target": f"class:{index}",
        "to": "noise" if isinstance(to, str) else "image",
        "strength": strength,
        "direction": direction,
        "of": of,
    }
    inputs = (*classifier.recipe.inputs, *(() if isinstance(to, str) else (origin(to),)))
    return TemplateAdded(
        before,
        after,
        added_on,
        classifier.labels[index],
        index,
        used,
        probabilities[0],
        probabilities[1],
        classifier.labels,
        recipe_of("add_template", parameters, inputs=inputs, seed=seed),
    )


def _least(classifier: LinearClassifier, added: Callable[[float], Tensor], index: int) -> float:
    """The least strength at which the class is sure, by halving."""

    def sure(by: float) -> bool:
        return float(classifier.network.logits(added(by)).double().softmax(0)[index]) >= _SURE

    low, high = 0.0, 1 / 255
    while not sure(high):
        if high >= _STRONGEST:
            return _STRONGEST
        low, high = high, min(2 * high, _STRONGEST)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if sure(middle) else (middle, high)
    return high


def _picture(classifier: LinearClassifier, to: Tensor | str, seed: int) -> Tensor:
    network = classifier.network
    if isinstance(to, str):
        if to != "noise":
            raise ImageError(f"got {to!r}; expected an image, read with read_image, or 'noise'")
        low, high = _NOISE
        draws = torch.Generator().manual_seed(seed)
        return low + (high - low) * torch.rand(network.channels, *network.input_size, generator=draws)
    check_image(to)
    if to.ndim != 3:
        raise ImageError(f"got a batch of shape {tuple(to.shape)}, expected one image (C, H, W): choose one of it")
    image = network.prepare(to.detach().float())
    if not math.isfinite(float(image.sum())):
        raise ImageError("got an image with NaN or infinity in it, expected values in [0, 1]")
    return image


def _in_bits(image: Tensor) -> Tensor:
    """As it is read again from a file of 8 bits."""
    return (image.clamp(0, 1) * 255).round().byte().float() / 255


def _told(best: Prediction, label: str, probability: float) -> str:
    """The best answer, and the class asked about where that is another."""
    if best.label == label:
        return f"{label} {probability:.1%}"
    return f"{best.label} {best.probability:.1%}, {label} {probability:.1%}"
