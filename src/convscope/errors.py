"""The few errors convscope raises. Each message says what it got, what it expected and what to do."""

import difflib
from collections.abc import Iterable
from typing import Any


class ConvscopeError(Exception):
    """Base of every error that convscope raises about its input."""


class ImageError(ConvscopeError):
    """A picture that can't be read, or a tensor that is not an image."""


class NetworkError(ConvscopeError):
    """A network that can't be found, built or run."""


class WeightsError(NetworkError):
    """Weights that can't be read safely, or don't fit the network."""


class LayerError(ConvscopeError):
    """A layer that the network doesn't have, or that lacks what was asked of it."""


class TargetError(ConvscopeError):
    """A target that can't be understood, or that the network doesn't have."""


class RuleError(ConvscopeError):
    """A backward rule was asked of an operation for which it is not defined."""


class RuleMatchedNothing(RuleError):  # noqa: N818 - it says what happened
    """A backward rule was asked for, and no rectifier lies between the image and the target."""


class RecipeError(ConvscopeError):
    """A recipe that is missing, can't be read or can't be followed here."""


class MissingExtra(ConvscopeError):  # noqa: N818 - it says what is missing
    """A feature whose optional dependency is not installed.

    >>> print(MissingExtra("reading HDF5 weights", extra="fetch"))
    reading HDF5 weights needs an optional dependency: pip install 'convscope[fetch]'
    """

    def __init__(self, feature: str, *, extra: str) -> None:
        super().__init__(f"{feature} needs an optional dependency: pip install 'convscope[{extra}]'")


class Stopped(ConvscopeError):  # noqa: N818 - it says what happened
    """Long work that ended before its end; `so_far` is its result as far as it went, where there is one."""

    def __init__(self, message: str, *, so_far: Any = None) -> None:
        super().__init__(message)
        self.so_far = so_far


class Cancelled(Stopped):
    """A progress callback asked to stop."""


class StepFailed(Stopped):
    """A step of an optimization could not be taken: it gave no numbers, or memory ran out."""


def nearest(name: str, known: Iterable[str], *, count: int = 5) -> str:
    """The known names most like `name`, for the end of a message.

    >>> nearest("layr1", ["layer1", "layer2", "head"])
    'nearest: layer1, layer2'
    >>> nearest("zzz", ["layer1", "head"])
    'known: layer1, head'
    """
    names = list(dict.fromkeys(known))
    lowered = {name.lower(): name for name in reversed(names)}
    close = [lowered[match] for match in difflib.get_close_matches(name.lower(), list(lowered), n=count, cutoff=0.5)]
    containing = [each for each in names if name.lower() in each.lower() and each not in close]
    found = (close + containing)[:count]
    if found:
        return "nearest: " + ", ".join(found)
    shown = ", ".join(names[:count])
    return f"known: {shown}" + (f", … ({len(names)} in all)" if len(names) > count else "")
