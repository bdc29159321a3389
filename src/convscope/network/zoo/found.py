"""What every source of networks finds: a module, and what `Network` must know of its images."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from convscope.errors import MissingExtra, NetworkError
from convscope.network.zoo.matching import Match, load_weights, match_weights

IMAGENET_CLASSES = 1000


@dataclass(frozen=True)
class Found:
    """A module with its weights; `options` are keyword arguments of `Network`."""

    module: nn.Module
    options: Mapping[str, Any] = field(default_factory=dict)
    match: Match | None = None  # how the weights of a given file fitted


def build_classifier(build: Callable[[int], nn.Module], state: Mapping[str, Tensor]) -> tuple[nn.Module, Match, int]:
    """Build an ImageNet classifier with as many classes as the weights have, and load them; return that count too."""
    module = build(IMAGENET_CLASSES)
    classes = match_weights(module, state).classes(IMAGENET_CLASSES)
    if classes != IMAGENET_CLASSES:
        module = build(classes)
    return module, load_weights(module, state), classes


def import_extra(name: str) -> ModuleType:
    """Import an optional package of networks, whose extra is called as it is.

    Raises
    ------
    MissingExtra
        It is not installed.
    NetworkError
        It is, but doesn't work beside the torch that is installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise MissingExtra(f"{name}'s networks", extra=name) from error
    except (ImportError, RuntimeError) as error:
        raise NetworkError(
            f"{name} can't be imported ({error}): torch and torchvision must be a pair, both built for CPU or both for "
            "the same CUDA. Install the two in one command from the same index, or pass your own factory and weights"
        ) from error
