"""`package.module:function`: networks that the user's own code builds."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from convscope.errors import NetworkError
from convscope.network.network import Network
from convscope.network.zoo.found import Found
from convscope.network.zoo.matching import load_weights
from convscope.network.zoo.user_code import find_function, importing_from


def find_factory(
    spec: str,
    state: Mapping[str, Tensor] | None,
    *,
    folders: Sequence[Path] = (),
    options: Mapping[str, Any] | None = None,
) -> Found | Network:
    """Call `spec` with `options` as keyword arguments; it may give a module or a whole `Network`.

    It is looked for in `folders`, by default in the working folder, and then among what is installed.

    Raises
    ------
    NetworkError
        The module or the function isn't there, fails, or returns something else.
    WeightsError
        `state` doesn't fit.
    """
    folders = folders or [Path.cwd()]
    build = find_function(spec, folders)
    try:
        with importing_from(folders):
            built = build(**(options or {}))
    except Exception as error:
        raise NetworkError(f"{spec}() raised {type(error).__name__}: {error}") from error
    if isinstance(built, Network) and state is None:
        return built
    if isinstance(built, Network):
        raise NetworkError(f"{spec}() returned a Network, which has its weights; return the nn.Module to load others")
    if not isinstance(built, nn.Module):
        raise NetworkError(f"{spec}() returned {type(built).__name__}; expected an nn.Module or a Network")
    return Found(built, match=None if state is None else load_weights(built, state))
