"""Names to networks: bundled weights, torchvision, timm, a weights file, one's own factory."""

import importlib.util
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from convscope.errors import NetworkError, nearest
from convscope.network.network import Network
from convscope.network.zoo.bundled import find_efficientnet_lite, find_vgg16_hed, published_file, recognize
from convscope.network.zoo.efficientnet_lite import SCALES
from convscope.network.zoo.factory import find_factory
from convscope.network.zoo.fetching import fetch, is_fetched
from convscope.network.zoo.found import Found
from convscope.network.zoo.timm import find_timm
from convscope.network.zoo.torchvision import find_torchvision
from convscope.network.zoo.weights import read_state_dict

__all__ = ["Entry", "available", "fetch", "load"]

# From a name, and the weights to load instead of the published ones, to a module.
Finder = Callable[[str, Mapping[str, Tensor] | None], Found]

DEFAULT = "efficientnet-lite0"
VGG16_HED = "VGG-16's convolutions, fine-tuned to find edges; for textures and styles"
BUNDLED: dict[str, Finder] = {
    **dict.fromkeys(SCALES, find_efficientnet_lite),
    "vgg16-hed": find_vgg16_hed,
}
LIBRARIES: dict[str, Finder] = {"torchvision": find_torchvision, "timm": find_timm}
FACTORY = re.compile(r"[\w.]+:\w+")
WEIGHTS_SUFFIXES = {".safetensors", ".pth", ".pt", ".ckpt", ".bin"}


@dataclass(frozen=True)
class Entry:
    """A network, or a way to name one: what it is, how to get what it needs beyond convscope, whether that is there."""

    name: str
    what: str
    needs: str
    ready: bool


def load(
    spec: str | Path,
    *,
    weights: str | Path | None = None,
    weights_key: str | None = None,
    device: str | torch.device = "cpu",
    on_line: Callable[[str], None] | None = None,
    **network_options: Any,
) -> Network:
    """A network by name, ready to be looked at.

    >>> net = load("efficientnet-lite0")
    >>> net.input_size, net.labels[207]
    ((224, 224), 'golden retriever')

    Parameters
    ----------
    spec
        A bundled network's name, `"torchvision:NAME"`, `"timm:NAME"`, `"package.module:function"`, or a file of
        weights for one of the bundled networks; `available` lists them.
    weights
        A file to load instead of the published weights: safetensors, or what `torch.save` wrote.
    weights_key
        Where in that file the weights are, if it holds several.
    on_line
        Called with the line that says how the weights fitted.
    network_options
        Keyword arguments of `Network`, which override what is known of the network: `labels`, `input_size`, ….

    Raises
    ------
    NetworkError
        There is no such network, or it can't be had here.
    WeightsError
        The weights can't be read safely, or don't fit.
    """
    if weights is None and weights_key is not None and not _is_file(spec):
        raise NetworkError(f"weights_key={weights_key!r} names a part of a file of weights; pass weights=FILE too")
    found = _find(spec, weights, weights_key)
    if isinstance(found, Network):
        if network_options:
            raise NetworkError(f"{spec}() returned a Network; set {', '.join(network_options)} there")
        return found
    if found.match is not None and on_line is not None:
        on_line(found.match.summary)
    # Recipes hold the name, and never an absolute path.
    name = Path(spec).name if Path(spec).is_absolute() else str(spec)
    return Network(_moved(found.module, device), **{"name": name, **found.options, **network_options})


def available() -> tuple[Entry, ...]:
    """Every network that `load` knows by name, then every way to name another."""
    return (
        *(_lite_entry(name) for name in SCALES),
        Entry("vgg16-hed", VGG16_HED, needs="convscope fetch vgg16-hed", ready=is_fetched("vgg16-hed")),
        *(_library_entry(name) for name in LIBRARIES),
        Entry("FILE", "weights for one of the networks above, fine-tuned or not", needs="", ready=True),
        Entry("package.module:function", "your own code, which returns an nn.Module", needs="", ready=True),
    )


def _lite_entry(name: str) -> Entry:
    what = f"ImageNet classifier, {SCALES[name].input_size}×{SCALES[name].input_size} pixels"
    ready = published_file(name) is not None
    return Entry(name, what, needs="" if name == DEFAULT else "pip install 'convscope[lite]'", ready=ready)


def _library_entry(library: str) -> Entry:
    what = f"a classifier of {library}, downloaded at first use"
    installed = importlib.util.find_spec(library) is not None
    return Entry(f"{library}:NAME", what, needs=f"pip install 'convscope[{library}]'", ready=installed)


def _find(spec: str | Path, weights: str | Path | None, weights_key: str | None) -> Found | Network:
    text = str(spec)
    state = None if weights is None else read_state_dict(weights, key=weights_key)
    library, _, name = text.partition(":")
    if text in BUNDLED:
        return BUNDLED[text](text, state)
    if library in LIBRARIES and name:
        return LIBRARIES[library](name, state)
    if _is_file(spec):
        if weights is not None:
            raise NetworkError(f"got two files of weights, {spec} and {weights}; expected a network and one file")
        return recognize(read_state_dict(spec, key=weights_key), Path(spec).name)
    if FACTORY.fullmatch(text):
        return find_factory(text, state)
    ways = ", ".join(entry.name for entry in available()[len(BUNDLED) :])
    raise NetworkError(f"no network {text!r}; {nearest(text, BUNDLED)}; or one of {ways}")


def _is_file(spec: str | Path) -> bool:
    return isinstance(spec, Path) or Path(spec).suffix in WEIGHTS_SUFFIXES or Path(spec).is_file()


def _moved(module: nn.Module, device: str | torch.device) -> nn.Module:
    try:
        return module.to(device)
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch was built without that kind of device
        raise NetworkError(
            f"device {str(device)!r} can't be used here ({str(error).splitlines()[0]}); try cpu"
        ) from error
