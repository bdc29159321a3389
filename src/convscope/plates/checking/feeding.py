"""Feedings: the ways in which a photograph may be made into what a module was trained on."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from convscope.image.resize import CROP_FRACTION, Fit, Interpolation
from convscope.network.labels import imagenet_labels
from convscope.network.network import Network
from convscope.network.normalization import ChannelOrder, Normalization
from convscope.plates.checking.labelling import LabelOrder

CURRENT = "as now"

_IMAGENET = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_CLIP = Normalization((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
_CAFFE = Normalization((123.68, 116.779, 103.939), None, (0.0, 255.0))
# How the training recipes in use scale their pixels. Numbers are in the order R, G, B; for grey they are averaged.
_USUAL = {
    "[0, 1]": Normalization(),
    "[-1, 1]": Normalization(value_range=(-1.0, 1.0)),
    "[0, 255]": Normalization(value_range=(0.0, 255.0)),
    "(255x − 127) / 128": Normalization((127 / 255,), (128 / 255,)),
    "ImageNet's mean and std": _IMAGENET,
    "CLIP's mean and std": _CLIP,
    "Caffe's means": _CAFFE,
}
# The keys of a `net.toml` that say one thing together.
_THINGS = (
    ("value_range", "mean", "std"),
    ("channel_order",),
    ("fit", "crop_fraction"),
    ("interpolation",),
    ("labels",),
)
_CROPS = (CROP_FRACTION, 0.95, 1.0)
_INTERPOLATIONS: tuple[Interpolation, ...] = ("bilinear", "bicubic")
# Two scalings that differ by no more than this part of the range they bring pixels to answer alike.
_SAME = 0.01


@dataclass(frozen=True)
class Scaling:
    """How pixels are scaled and their channels ordered: by a `Normalization`, or by the network's own function."""

    name: str
    function: Callable[[Tensor], Tensor]

    def settings(self, channels: int) -> dict[str, object]:
        """The keys of a `net.toml` that say the same; none for a function of the user's own."""
        if not isinstance(self.function, Normalization):
            return {}
        function = self.function
        return {
            "value_range": _numbers(function.value_range),
            "mean": _numbers(function.mean or (0.0,) * channels),
            "std": _numbers(function.std or (1.0,) * channels),
            "channel_order": function.channel_order,
        }


@dataclass(frozen=True)
class Geometry:
    """How a photograph is brought to the input size."""

    fit: Fit
    crop_fraction: float
    interpolation: Interpolation

    @property
    def name(self) -> str:
        """`crop 0.875, bicubic`."""
        fit = f"crop {self.crop_fraction:.3g}" if self.fit == "crop" else self.fit
        return f"{fit}, {self.interpolation}"

    @property
    def settings(self) -> dict[str, object]:
        """The keys of a `net.toml` that say the same."""
        fraction = {"crop_fraction": round(self.crop_fraction, 6)} if self.fit == "crop" else {}
        return {"fit": self.fit, **fraction, "interpolation": self.interpolation}


@dataclass(frozen=True)
class Feeding:
    """One way to feed a module and to read its answers; `order` is None where the labels' order is as it is now."""

    scaling: Scaling
    geometry: Geometry
    order: LabelOrder | None = None

    def name(self, current: "Feeding") -> str:
        """What differs from the current feeding, in words."""
        changes = [self.scaling.name] if self.scaling != current.scaling else []
        changes += [self.geometry.name] if self.geometry != current.geometry else []
        changes += [f"label order: {self.order.name}"] if self.order is not None else []
        return "; ".join(changes) or CURRENT

    def settings(self, network: Network) -> dict[str, object]:
        """The keys of a `net.toml` that say the same of this network, labels only where their order is another."""
        settings = {**self.scaling.settings(network.channels), **self.geometry.settings}
        if self.order is not None:
            settings["labels"] = ordered_labels(network, self.order)
        return settings

    def changes(self, network: Network) -> int:
        """How many things are not as they are now."""
        now, wanted = current_feeding(network).settings(network), self.settings(network)
        return sum(any(now.get(key) != wanted.get(key) for key in keys) for keys in _THINGS)

    def toml(self, network: Network) -> tuple[str, ...]:
        """The lines of a `net.toml` that make this of what the network has now."""
        now = current_feeding(network).settings(network)
        wanted = self.settings(network)
        return tuple(f"{key} = {json.dumps(wanted[key])}" for key in wanted if wanted[key] != now.get(key))


def ordered_labels(network: Network, order: LabelOrder) -> str | list[str]:
    """The labels in that order, as a `net.toml` has them; of a network without labels, the classes' numbers."""
    labels = network.labels or tuple(str(number) for number in range(len(order.order)))
    ordered = [labels[at] for at in order.order]
    return "imagenet" if tuple(ordered) == imagenet_labels() else ordered


def current_feeding(network: Network) -> Feeding:
    """How the network is fed now."""
    geometry = Geometry(network.fit, network.crop_fraction, network.interpolation)
    return Feeding(Scaling(CURRENT, network.normalize), geometry)


def scalings(network: Network) -> list[Scaling]:
    """The current scaling, then the usual ones that differ from it, each in RGB and BGR for three channels."""
    current = network.normalize
    found = [Scaling(CURRENT, current)]
    if isinstance(current, Normalization) and network.channels == 3:
        other: ChannelOrder = "BGR" if current.channel_order == "RGB" else "RGB"
        found.append(Scaling(f"{CURRENT} but {other}", replace(current, channel_order=other)))
    orders: tuple[ChannelOrder, ...] = ("RGB", "BGR") if network.channels == 3 else ("RGB",)
    for order in orders:
        for name, usual in _USUAL.items():
            function = _for_channels(usual, network.channels, order)
            found.append(Scaling(f"{name}, {order}" if network.channels == 3 else name, function))
    return _distinct(found, network)


def _for_channels(usual: Normalization, channels: int, order: ChannelOrder) -> Normalization:
    """The usual normalization for so many channels; its numbers go with the colours they belong to."""

    def numbers(values: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if values is None:
            return None
        if channels != 3 or len(values) == 1:
            return (sum(values) / len(values),) * channels
        return values[::-1] if order == "BGR" else values

    return replace(usual, mean=numbers(usual.mean), std=numbers(usual.std), channel_order=order)


def _distinct(found: Sequence[Scaling], network: Network) -> list[Scaling]:
    """Those that do something else to pixels than all before them."""
    noise = torch.rand(1, network.channels, *network.input_size, generator=torch.Generator().manual_seed(0))
    probe = torch.cat([noise, noise * torch.arange(1, network.channels + 1).view(-1, 1, 1) / network.channels])
    kept: list[tuple[Scaling, Tensor]] = []
    for scaling in found:
        result = scaling.function(probe.to(network.device, network.dtype)).float()
        tolerance = _SAME * float(result.max() - result.min())
        if not any(torch.allclose(result, other, rtol=0, atol=tolerance) for _, other in kept):
            kept.append((scaling, result))
    return [scaling for scaling, _ in kept]


def geometries(current: Geometry) -> list[Geometry]:
    """The usual other ways to fit photographs, one change at a time."""
    crops = [replace(current, fit="crop", crop_fraction=fraction) for fraction in _CROPS]
    whole = [replace(current, fit="resize"), replace(current, fit="pad")]
    scaled = [replace(current, interpolation=each) for each in _INTERPOLATIONS]
    names = {current.name: current, **{each.name: each for each in (*crops, *whole, *scaled)}}
    del names[current.name]
    return list(names.values())


def _numbers(values: Sequence[float]) -> list[float]:
    return [int(value) if value == int(value) else round(value, 6) for value in values]
