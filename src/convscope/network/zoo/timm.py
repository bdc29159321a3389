"""timm's networks, with the preprocessing that timm keeps for each."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from convscope.errors import NetworkError, nearest
from convscope.network.labels import imagenet_labels
from convscope.network.zoo.found import IMAGENET_CLASSES, Found, build_classifier, import_extra

FITS = {"center": "crop", "squash": "resize", "border": "pad"}


def find_timm(name: str, state: Mapping[str, Tensor] | None) -> Found:
    """`timm:NAME` with its published weights, downloaded where need be, or with `state`.

    Raises
    ------
    NetworkError
        There is no such network, or its weights couldn't be downloaded.
    """
    timm = import_extra("timm")
    # "hf-hub:owner/name" is looked up online.
    if ":" not in name and not timm.is_model(name):
        raise NetworkError(f"timm has no network {name!r}; {nearest(name, timm.list_models())}")
    if state is None:
        module = _published(timm, name)
        return Found(module.eval(), _options(timm, module, module.num_classes))
    module, match, classes = build_classifier(lambda count: timm.create_model(name, num_classes=count), state)
    return Found(module.eval(), _options(timm, module, classes), match)


def data_options(config: Mapping[str, Any]) -> dict[str, Any]:
    """How images are fed, in the words of `Network`, from a data configuration as timm resolves it."""
    channels, *input_size = config["input_size"]
    return {
        "channels": channels,
        "input_size": tuple(input_size),
        "mean": tuple(config["mean"]),
        "std": tuple(config["std"]),
        "fit": FITS.get(config["crop_mode"], "crop"),
        "crop_fraction": config["crop_pct"],
        "interpolation": "bilinear" if config["interpolation"] == "bilinear" else "bicubic",
    }


def _published(timm: Any, name: str) -> Any:
    try:
        return timm.create_model(name, pretrained=True)
    except Exception as error:  # the hub's client raises errors of several libraries
        raise NetworkError(
            f"the weights of timm:{name} couldn't be fetched ({error}); "
            f"go online, or pass a file of them as weights=FILE"
        ) from error


def _options(timm: Any, module: nn.Module, classes: int) -> dict[str, Any]:
    labels = imagenet_labels() if classes == IMAGENET_CLASSES else None
    return {**data_options(timm.data.resolve_model_data_config(module)), "labels": labels}
