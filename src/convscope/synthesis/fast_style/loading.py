"""Style networks by file, what they are called, and their checksums."""

import copy
import hashlib
import json
import os
from collections.abc import MutableMapping
from functools import cache
from itertools import chain
from pathlib import Path
from weakref import WeakKeyDictionary

from convscope.network.device import find_device
from convscope.synthesis.fast_style.files import read_network
from convscope.synthesis.fast_style.style_network import StyleNetwork

BUNDLED = Path(__file__).with_name("bundled.safetensors")
BUNDLED_NAME = "bundled styles"
"""What recipes call it."""

State = tuple[tuple[int, int], ...]

_names: MutableMapping[StyleNetwork, str] = WeakKeyDictionary()
_checksums: MutableMapping[StyleNetwork, tuple[State, str]] = WeakKeyDictionary()


def load_styles(path: str | os.PathLike[str] | None = None, *, device: str = "cpu") -> StyleNetwork:
    """The network of a file that `train_style` wrote, or the one that convscope brings along; `.styles` are its names.

    On the processor, that one is loaded once and shared.

    Raises WeightsError for a file that is none, NetworkError for a device that is not here.
    """
    network = _bundled() if path is None else _named(read_network(Path(path))[0], Path(path).name)
    wanted = find_device(device)
    if wanted.type == "cpu":
        return network
    return _named(copy.deepcopy(network).to(wanted), name_of(network))


def name_of(network: StyleNetwork) -> str | None:
    """Its file's name, if it was loaded from one."""
    return _names.get(network)


def checksum_of(network: StyleNetwork) -> str:
    """SHA-256 over styles, architecture and weights as they are now: the same for every file that holds this network.

    A checkpoint also holds how training goes on, which changes no picture.
    """
    seen = state_of(network)
    known = _checksums.get(network)
    if known is None or known[0] != seen:
        told = [network.styles, network.architecture.parameters()]
        digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
        for name, value in sorted(network.state_dict().items()):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
            digest.update(value.detach().cpu().contiguous().numpy().data)
        known = _checksums[network] = seen, digest.hexdigest()
    return known[1]


def state_of(network: StyleNetwork) -> State:
    """Differs after any change of the weights that PyTorch can see."""
    tensors = chain(network.parameters(), network.buffers())
    return tuple((each.data_ptr(), 0 if each.is_inference() else each._version) for each in tensors)


@cache
def _bundled() -> StyleNetwork:
    return _named(read_network(BUNDLED)[0], BUNDLED_NAME)


def _named(network: StyleNetwork, name: str | None) -> StyleNetwork:
    if name is not None:
        _names[network] = name
    return network
