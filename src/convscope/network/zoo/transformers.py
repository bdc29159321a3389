"""Image classifiers of transformers, with the preprocessing of their processors and the labels of their configs."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from convscope.errors import NetworkError, WeightsError
from convscope.network.zoo.found import Found, build_classifier, import_extra, paired_with_torch
from convscope.network.zoo.timm import data_options

BILINEAR = 2  # as Pillow numbers its filters
# ConvNeXt and LeViT, and what borrows their processors, measure their margin in a way of their own.
CONVNEXT_SQUASHES_FROM = 384
LEVIT_MARGIN = 256 / 224
# Seconds to wait for the hub's answer before it counts as out of reach.
PATIENCE = 10.0


def find_transformers(name: str, state: Mapping[str, Tensor] | None) -> Found:
    """`transformers:NAME`, on the hub or a folder of `save_pretrained`, with its own weights or with `state`.

    Raises
    ------
    NetworkError
        There is no such classifier, or it couldn't be downloaded.
    WeightsError
        It was saved without the layer that classifies, or `state` doesn't fit.
    """
    transformers = import_extra("transformers")
    with paired_with_torch("transformers"):
        library = _Library(transformers.AutoConfig, transformers.AutoImageProcessor,
                           transformers.AutoModelForImageClassification)  # fmt: skip
    config, processor, module = _nearest_copy(name, lambda local: library.read(name, local, weights=state is None))
    match, classes = None, config.num_labels
    if state is not None:
        module, match, classes = build_classifier(
            lambda count: library.build(config, count), state, usual=config.num_labels
        )
    labels = _labels(config) if classes == config.num_labels else None
    return Found(module.eval(), {**_images(processor, config), "labels": labels, "head": _head(config)}, match)


@dataclass(frozen=True)
class _Library:
    """The three classes of transformers that are needed."""

    configs: Any
    processors: Any
    classifiers: Any

    def read(self, name: str, local: bool, *, weights: bool) -> tuple[Any, Any, Any]:
        """Config, processor and, with its weights, the module; `local` asks no hub."""
        where = {"local_files_only": local, "trust_remote_code": False}
        config = self.configs.from_pretrained(name, **where)
        processor = self.processors.from_pretrained(name, **where)
        if not weights:
            return config, processor, None
        module, report = self.classifiers.from_pretrained(
            name, config=config, dtype=torch.float32, output_loading_info=True, **where
        )
        missing = sorted(report["missing_keys"])
        if missing:
            raise WeightsError(
                f"transformers:{name} was saved without {', '.join(missing[:4])}: it is no image classifier; name one "
                "that was trained to classify"
            )
        return config, processor, module

    def build(self, config: Any, classes: int) -> nn.Module:
        config = copy.deepcopy(config)
        config.num_labels = classes
        module: nn.Module = self.classifiers.from_config(config)
        return module


def _nearest_copy(name: str, read: Callable[[bool], tuple[Any, Any, Any]]) -> tuple[Any, Any, Any]:
    """What `read` reads from a folder, from the hub's cache, or, if it isn't there, from the hub."""
    folder = Path(name).is_dir()
    try:
        return read(True)
    except (OSError, ValueError) as error:
        if folder:
            raise NetworkError(f"{name} holds no image classifier of transformers: {_line(error)}") from error
    try:
        # Asked first, since from_pretrained tries again for a minute and more when there is no connection.
        import_extra("huggingface_hub").HfApi().model_info(name, timeout=PATIENCE)
        return read(False)
    except WeightsError:
        raise
    except Exception as error:  # the hub's client raises errors of several libraries
        raise NetworkError(
            f"transformers:{name} couldn't be fetched ({_line(error)}); check the name, go online, or name a folder "
            "that save_pretrained wrote"
        ) from error


def _images(processor: Any, config: Any) -> dict[str, Any]:
    """How images are fed, in the words of `Network`."""
    if hasattr(processor, "data_config"):  # timm's own networks, which transformers wraps
        return data_options(processor.data_config)
    return {
        "channels": getattr(config, "num_channels", 3),
        "channel_order": "BGR" if getattr(processor, "do_flip_channel_order", False) else "RGB",
        "interpolation": "bilinear" if processor.resample == BILINEAR else "bicubic",
        **_geometry(processor),
        **_scaling(processor),
    }


def _geometry(processor: Any) -> dict[str, Any]:
    """Size, fit and crop fraction from the many ways in which processors say them."""
    kind = type(processor).__name__
    size = dict(processor.size)
    crop = processor.crop_size if getattr(processor, "do_center_crop", False) else None
    scaled = size.get("shortest_edge") or size.get("height")
    if not scaled:
        raise NetworkError(f"{kind} scales to {size}; expected shortest_edge, or height and width")
    if crop is None and not size.get("shortest_edge"):
        return {"input_size": (size["height"], size["width"]), "fit": "resize"}
    # Scaled to height and width, then cropped, is DeiT: the port squashes what was trained at its own aspect.
    input_size = (scaled, scaled) if crop is None else (crop["height"], crop["width"])
    crop_pct = getattr(processor, "crop_pct", None)
    if kind.startswith("ConvNext") and scaled >= CONVNEXT_SQUASHES_FROM:
        return {"input_size": input_size, "fit": "resize"}
    if crop_pct:
        scaled = int(scaled / crop_pct)
    elif kind.startswith("Levit"):
        scaled = int(scaled * LEVIT_MARGIN)
    return {"input_size": input_size, "fit": "crop", "crop_fraction": min(1.0, input_size[0] / scaled)}


def _scaling(processor: Any) -> dict[str, Any]:
    """Value range, mean and std. Processors start from 0 to 255."""
    high = 255 * processor.rescale_factor if processor.do_rescale else 255.0
    low = -1.0 if getattr(processor, "rescale_offset", False) else 0.0
    options: dict[str, Any] = {"value_range": _without_rounding(low, high + low)}
    if getattr(processor, "do_normalize", False):
        options |= {"mean": _numbers(processor.image_mean), "std": _numbers(processor.image_std)}
    if getattr(processor, "include_top", False):  # EfficientNet divides by the deviation once more
        divisors = _numbers(processor.image_std)
        options["std"] = tuple(a * b for a, b in zip(options.get("std", (1.0,) * len(divisors)), divisors, strict=True))
    return options


def _without_rounding(low: float, high: float) -> tuple[float, float]:
    """1 / 255 as a float times 255 is 1, but its decimals in a config file may not be."""
    return low, float(round(high)) if abs(high - round(high)) < 1e-6 else high


def _numbers(value: float | list[float]) -> tuple[float, ...]:
    return (value,) if isinstance(value, (int, float)) else tuple(value)


def _labels(config: Any) -> tuple[str, ...] | None:
    """The names by class; none if they are those that configs make up."""
    names = tuple(str(config.id2label[index]) for index in range(config.num_labels))
    return None if names == tuple(f"LABEL_{index}" for index in range(len(names))) else names


def _head(config: Any) -> str:
    if config.problem_type == "multi_label_classification":
        return "sigmoid"
    return "none" if config.problem_type == "regression" or config.num_labels == 1 else "softmax"


def _line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
