"""What every source of networks finds: a module, and what `Network` must know of its images."""

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
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


def build_classifier(
    build: Callable[[int], nn.Module], state: Mapping[str, Tensor], *, usual: int = IMAGENET_CLASSES
) -> tuple[nn.Module, Match, int]:
    """Build a classifier, usually of so many classes, with as many as the weights have; load them; return the count."""
    module = build(usual)
    classes = match_weights(module, state).classes(usual)
    if classes != usual:
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
        with paired_with_torch(name):
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise MissingExtra(f"{name}'s networks", extra=name) from error


@contextmanager
def paired_with_torch(name: str) -> Iterator[None]:
    """Explain the errors of a package that finds a torchvision which doesn't fit the installed torch."""
    try:
        yield
    except (ImportError, RuntimeError) as error:
        # With a name, a module isn't installed. transformers hides the cause in an error of that type without one.
        if isinstance(error, ModuleNotFoundError) and error.name:
            raise
        raise NetworkError(
            f"{name} can't be imported ({_first_cause(error)}): torch and torchvision must be a pair, both built for "
            "CPU or both for the same CUDA. Install the two in one command from the same index, or pass your own "
            "factory and weights"
        ) from error


def _first_cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error
