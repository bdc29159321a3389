"""Torchvision's classifiers, with the preprocessing that their published weights come with."""

import warnings
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any

from torch import Tensor, nn

from convscope.errors import NetworkError, nearest
from convscope.network.zoo.found import IMAGENET_CLASSES, Found, build_classifier, import_extra


def find_torchvision(name: str, state: Mapping[str, Tensor] | None) -> Found:
    """`torchvision:NAME` with its default weights, downloaded where need be, or with `state`.

    Raises
    ------
    NetworkError
        There is no such classifier, or its weights couldn't be downloaded.
    """
    models = import_extra("torchvision").models
    names = models.list_models(module=models)
    if name not in names:
        raise NetworkError(f"torchvision has no classifier {name!r}; {nearest(name, names)}")
    published = models.get_model_weights(name).DEFAULT
    labels = tuple(published.meta["categories"])
    if state is None:
        return Found(_published(models, name, published).eval(), _options(published.transforms(), labels))

    def build(classes: int) -> nn.Module:
        with warnings.catch_warnings():
            # Some announce another initialization, which loading overwrites anyhow.
            warnings.simplefilter("ignore", FutureWarning)
            module: nn.Module = models.get_model(name, weights=None, num_classes=classes)
            return module

    module, match, classes = build_classifier(build, state)
    options = _options(published.transforms(), labels if classes == IMAGENET_CLASSES else None)
    return Found(module.eval(), options, match)


def _published(models: Any, name: str, weights: Any) -> nn.Module:
    try:
        module: nn.Module = models.get_model(name, weights=weights)
    except (OSError, HTTPException, RuntimeError) as error:
        raise NetworkError(
            f"the weights of torchvision:{name} couldn't be fetched ({error}); "
            f"go online, or pass a file of them as weights=FILE"
        ) from error
    return module


def _options(transforms: Any, labels: tuple[str, ...] | None) -> dict[str, Any]:
    crop, resized = transforms.crop_size[0], transforms.resize_size[0]
    return {
        "input_size": (crop, crop),
        "mean": tuple(transforms.mean),
        "std": tuple(transforms.std),
        "labels": labels,
        "fit": "crop",
        "crop_fraction": crop / resized,
        "interpolation": transforms.interpolation.value,
    }
