"""The same linear classifier with weak and with strong regularization: how far a picture has to change (L59)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from PIL import Image
from torch import Tensor

from convscope.errors import ConvscopeError
from convscope.fooling.add_template import Direction, TemplateAdded, add_template
from convscope.fooling.class_pictures import Pictures
from convscope.fooling.linear_classifier import LinearClassifier, linear_classifier, template_picture
from convscope.image.networkless import recipe_of
from convscope.image.recipe import Recipe
from convscope.image.write import to_picture
from convscope.network.target import TargetLike
from convscope.progress import Watcher, part_of
from convscope.render.grid import rows
from convscope.render.result import Pictured

REGULARIZATIONS = (1e-5, 1e-3, 1e-1)
"""Weak, some, strong."""

_CELL = 128


@dataclass(frozen=True)
class RegularizationCompared(Pictured):
    """`classifiers` that differ in their regularization, and what each takes the same picture for: `added`."""

    classifiers: tuple[LinearClassifier, ...]
    added: tuple[TemplateAdded, ...]
    recipe: Recipe

    @property
    def lines(self) -> tuple[str, ...]:
        """A line for each, in words."""
        pairs = zip(self.classifiers, self.added, strict=True)
        return tuple(f"λ {classifier.regularization:g}: {added.caption}" for classifier, added in pairs)

    def picture(self) -> Image.Image:
        """A row for each: the template, the picture before and after."""
        first = self.added[0]
        return rows(
            [
                (
                    f"{classifier.regularization:g}: {255 * added.largest_change:.0f} levels",
                    [template_picture(added.template), to_picture(added.before), to_picture(added.after)],
                )
                for classifier, added in zip(self.classifiers, self.added, strict=True)
            ],
            column_labels=["template", "before", "after"],
            title=f"{first.label}, by weak and by strong regularization",
            note="\n".join(self.lines),
            cell=_CELL,
        )


def compare_regularization(
    source: Pictures,
    target: TargetLike,
    to: Tensor | Literal["noise"] = "noise",
    *,
    regularizations: Sequence[float] = REGULARIZATIONS,
    labels: Sequence[str] | None = None,
    size: int = 64,
    channels: int = 3,
    held_out: float = 0.2,
    strength: float | None = None,
    direction: Direction = "template",
    seed: int = 0,
    progress: Watcher | None = None,
) -> RegularizationCompared:
    """Train a linear classifier for each regularization, and add the template of a class to the same picture.

    Without a `strength`, the least is sought that makes each of them 99% sure of the class: the weaker the
    regularization, the less it takes. The rest is as for `linear_classifier` and `add_template`, and raises as they do.

    >>> made = compare_regularization("digits", "3", regularizations=[1e-4, 1e-3])
    >>> made.added[0].largest_change < made.added[1].largest_change
    True
    """
    if not regularizations:
        raise ConvscopeError("got no regularizations; expected one number at least, such as 1e-4")
    classifiers = [
        linear_classifier(
            source,
            labels=labels,
            size=size,
            channels=channels,
            regularization=each,
            held_out=held_out,
            seed=seed,
            progress=part_of(progress, place, len(regularizations)),
        )
        for place, each in enumerate(regularizations)
    ]
    added = [add_template(each, target, to, strength=strength, direction=direction, seed=seed) for each in classifiers]
    first = classifiers[0].recipe
    parameters = {
        **{name: value for name, value in first.parameters.items() if name != "regularization"},
        "target": added[0].recipe.parameters["target"],
        "to": added[0].recipe.parameters["to"],
        "regularizations": list(regularizations),
        "strength": strength,
        "direction": direction,
    }
    recipe = recipe_of("compare_regularization", parameters, inputs=added[0].recipe.inputs, seed=seed)
    return RegularizationCompared(tuple(classifiers), tuple(added), recipe)
