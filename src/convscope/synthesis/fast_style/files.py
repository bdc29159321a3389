"""Files of style networks: safetensors, with what makes the network again in their metadata."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from convscope.errors import ConvscopeError, WeightsError
from convscope.image.recipe import JSON
from convscope.image.write import atomic_path
from convscope.synthesis.fast_style.style_network import Architecture, StyleNetwork

_KEY = "convscope-style-network"
_PREFIX = "network."


def write_network(
    path: str | Path,
    network: StyleNetwork,
    *,
    training: Mapping[str, JSON] | None = None,
    more: Mapping[str, Tensor] | None = None,
) -> None:
    """Write a network, how it was trained, and tensors by name beside it; whole, or not at all.

    Raises ImageError if the file can't be written.
    """
    told = {
        "styles": list(network.styles),
        "architecture": network.architecture.parameters(),
        "training": dict(training or {}),
    }
    tensors = {_PREFIX + name: value for name, value in network.state_dict().items()} | dict(more or {})
    content = safetensors.torch.save(
        {name: value.detach().cpu().contiguous() for name, value in tensors.items()},
        metadata={_KEY: json.dumps(told, sort_keys=True)},
    )
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def read_network(path: str | Path) -> tuple[StyleNetwork, dict[str, Any], dict[str, Tensor]]:
    """A network, how it was trained, and what else its file holds. Raises WeightsError for any other file."""
    path = Path(path)
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    except OSError as error:
        raise WeightsError(f"{path} can't be read: {error.strerror or error}") from error
    except safetensors.SafetensorError as error:
        raise WeightsError(f"{path.name} is no safetensors file, or is cut short ({error})") from error
    if _KEY not in metadata:
        raise WeightsError(f"{path.name} holds no style network; expected a file that convscope style-train wrote")
    state = {name.removeprefix(_PREFIX): value for name, value in tensors.items() if name.startswith(_PREFIX)}
    try:
        told = json.loads(metadata[_KEY])
        network = StyleNetwork(told["styles"], Architecture(**told["architecture"]))
        network.load_state_dict(state)
    except (ConvscopeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{path.name} is damaged: its weights don't fit what it says of itself ({error})") from error
    rest = {name: value for name, value in tensors.items() if not name.startswith(_PREFIX)}
    return network.eval(), told["training"], rest
