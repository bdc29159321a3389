"""Loading the very network that something was made with."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from convscope.errors import ConvscopeError, RecipeError
from convscope.image.recipe import JSON
from convscope.network.network import Network
from convscope.network.zoo import LIBRARIES, WEIGHTS_SUFFIXES, load
from convscope.network.zoo.user_code import FUNCTION


def harmless(name: str) -> str:
    """The name itself, if loading that network runs none but convscope's and its libraries' code.

    Raises RecipeError otherwise: what a file names is never run unless its reader says so.
    """
    if name.endswith(".toml") or (FUNCTION.fullmatch(name) and name.partition(":")[0] not in LIBRARIES):
        raise RecipeError(
            f"made with {name!r}, which is code of its own; if you trust it, name it with --network {name}"
        )
    return name


def load_again(
    name: str,
    checksum: str | None,
    feeding: Mapping[str, JSON],
    *,
    device: str = "cpu",
    folder: Path | None = None,
    weights: str | None = None,
) -> Network:
    """The network of that name, or file in `folder`, with weights of this checksum, fed in this way.

    Raises RecipeError where it can't be loaded, or is another here.
    """
    if folder is not None and (folder / name).is_file():
        name = str(folder / name)
    elif weights is not None and Path(name).suffix in WEIGHTS_SUFFIXES:
        name, weights = weights, None
    try:
        network = load(name, weights=weights, device=device)
        otherwise: dict[str, Any] = {
            key: value for key, value in feeding.items() if _plain(network.feeding.get(key)) != _plain(value)
        }
        if "normalize" in otherwise:
            raise RecipeError(f"{name!r} is fed by another function here than {otherwise['normalize']!r}")
        if otherwise:
            network = load(name, weights=weights, device=device, **otherwise)
    except ConvscopeError as error:
        raise RecipeError(
            f"made with the network {name!r}, which can't be loaded ({error}); say which with --network"
        ) from error
    if network.weights_sha256 != checksum:
        raise RecipeError(f"the weights of {name!r} here are not those it was made with; give them with --weights FILE")
    return network


def _plain(value: Any) -> Any:
    """As JSON has it: lists for tuples."""
    return list(value) if isinstance(value, tuple) else value
