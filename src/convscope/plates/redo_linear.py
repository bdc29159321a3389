"""The methods about linear classifiers and HOG, made again: a classifier is trained again on what its recipe names."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from convscope.errors import RecipeError
from convscope.fooling.add_template import TemplateAdded, add_template
from convscope.fooling.compare_regularization import RegularizationCompared, compare_regularization
from convscope.fooling.hog_twin import HogTwin, hog_twin
from convscope.fooling.linear_classifier import LinearClassifier, linear_classifier
from convscope.fooling.linear_example import linear_example
from convscope.fooling.linear_table import linear_table
from convscope.network.network import Network
from convscope.render.result import Pictured


def _classifier(images: Sequence[Tensor], options: Mapping[str, Any]) -> LinearClassifier:
    return linear_classifier(**_learned_from(images, options))


def _added(images: Sequence[Tensor], options: dict[str, Any]) -> TemplateAdded:
    of, to, target = options.pop("of"), options.pop("to"), options.pop("target")
    classifier = _classifier(_pictures(images, to), {**of["parameters"], "seed": of["seed"]})
    return add_template(classifier, target, images[-1] if to == "image" else to, **options)


def _compared(images: Sequence[Tensor], options: dict[str, Any]) -> RegularizationCompared:
    to, target = options.pop("to"), options.pop("target")
    given = _learned_from(_pictures(images, to), options)
    return compare_regularization(given.pop("source"), target, images[-1] if to == "image" else to, **given)


def _twin(images: Sequence[Tensor], options: dict[str, Any]) -> HogTwin:
    given = [name for name in ("start", "other") if options[name] == "image"]
    return hog_twin(images[0], **{**options, **dict(zip(given, images[1:], strict=True))})


def _pictures(images: Sequence[Tensor], to: str) -> Sequence[Tensor]:
    """Those that were learned from; what a template was added to is the last."""
    return images[:-1] if to == "image" else images


def _learned_from(images: Sequence[Tensor], options: Mapping[str, Any]) -> dict[str, Any]:
    if "sha256" in options:
        raise RecipeError(
            "made of so many pictures that its recipe doesn't name them; make it again with convscope linear FOLDER"
        )
    return {**options, "source": options.get("source", list(images))}


METHODS: dict[str, Callable[[Sequence[Network], Sequence[Tensor], dict[str, Any]], Pictured]] = {
    "add_template": lambda networks, images, options: _added(images, options),
    "compare_regularization": lambda networks, images, options: _compared(images, options),
    "hog_twin": lambda networks, images, options: _twin(images, options),
    "linear_classifier": lambda networks, images, options: _classifier(images, options),
    "linear_example": lambda networks, images, options: linear_example(**options),
    "linear_table": lambda networks, images, options: linear_table(**options),
}
