"""Grad-CAM: which places of a late layer speak for a target (Selvaraju et al. 2017)."""

import re
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from convscope.attribution.attribution import Attribution
from convscope.errors import LayerError
from convscope.image.recipe import JSON
from convscope.network.layers import Layer
from convscope.network.network import Network
from convscope.network.target import Target, TargetLike

# Kinds of layers that only pool, move or cut the features of those before them; modules where there is no graph.
_NO_FEATURES = re.compile(
    r".*pool.*|.*pad.*|.*dropout.*|pixel (un)?shuffle|reshape|flatten|identity|transpose|split|index|expand|"
    r"stack|pointwise|resize|upsample|reduction",
    re.IGNORECASE,
)
_NAMED = 6


@dataclass(frozen=True, kw_only=True)
class GradCam(Attribution):
    """Which places of a layer speak for a target.

    `values` `(H, W)` is `cam` brought to the size of the image; `cam` `(h, w)` has the layer's own places and both
    signs. `layer` is the layer's name. For a batch the tensors have its `N` in front.
    """

    cam: Tensor
    layer: str


def grad_cam(
    network: Network, image: Tensor, target: TargetLike, *, layer: str | None = None, signed: bool = False
) -> GradCam:
    """Weigh the channels of a layer by how much each helps the target, and add them up.

    With A_k the layer's channel k, of Z places, and y the target:

        α_k = 1/Z · Σ ∂y/∂A_k        cam = Σ_k α_k · A_k        values = max(cam, 0), enlarged bilinearly

    One forward pass, and a backward pass down to the layer. Where the network ends in global average pooling and one
    linear layer, this is the class activation map of Zhou et al. 2016 over Z.

    Parameters
    ----------
    image
        `(C, H, W)` or `(N, C, H, W)` in [0, 1], as `network.prepare` gives it.
    target
        As for `saliency`.
    layer
        Whose channels; by default the last with more than one place that the target depends on, and for outputs that
        are maps the last before these are made of it. Layers that only pool, move or join are passed over.
    signed
        Keep what speaks against the target too: `values` are then `cam` itself, enlarged.

    Raises
    ------
    LayerError
        The layer has no space or the target doesn't depend on it; it names layers that would do.
    TargetError, ImageError

    >>> import torch, convscope as cs
    >>> net = cs.load("efficientnet-lite0")
    >>> result = grad_cam(net, torch.zeros(3, 224, 224), "golden retriever")
    >>> result.layer, result.cam.shape, result.values.shape
    ('head.activation', torch.Size([7, 7]), torch.Size([224, 224]))
    """
    asked = network.target(target, image)
    chosen, activations, gradients = _at_layer(network, image, asked, layer)
    weights = gradients.mean(dim=(-2, -1), keepdim=True)
    cam = (weights * activations).sum(dim=-3).to(image)
    shown = cam if signed else cam.clamp(min=0)
    values = _enlarged(shown, (image.shape[-2], image.shape[-1]))
    parameters: dict[str, JSON] = {"target": asked.text, "layer": chosen, "signed": signed}
    recipe = network.recipe("grad_cam", parameters, images=[image, *asked.masks])
    again = partial(grad_cam, target=asked, layer=chosen, signed=signed)
    note = _note(cam, chosen, signed)
    return GradCam(
        values, image, asked.text, recipe, f"{asked.unit} at {chosen}", again, note, asked=asked, cam=cam, layer=chosen
    )


def _enlarged(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps `(h, w)` or `(N, h, w)` at that size."""
    stacked = maps.reshape(-1, 1, *maps.shape[-2:])
    return interpolate(stacked, size=size, mode="bilinear", align_corners=False).reshape(*maps.shape[:-2], *size)


def _note(cam: Tensor, layer: str, signed: bool) -> str:
    """What an empty map means."""
    if signed:
        return ""
    if not bool(cam.isfinite().any()):
        return f"{layer} or what follows holds no numbers (NaN): look at the network's weights"
    highest = cam.reshape(-1, cam.shape[-2] * cam.shape[-1]).amax(dim=1)
    against = [index for index, value in enumerate(highest.tolist()) if not value > 0]
    if not against:
        return ""
    which = "" if cam.dim() == 2 else f" in {len(against)} of {len(highest)} images"
    return (
        f"no place of {layer} speaks for the target{which}: the map is empty, since it leaves out what speaks against"
    )


# The layer -----------------------------------------------------------------------------------------------------------


def _at_layer(network: Network, image: Tensor, target: Target, layer: str | None) -> tuple[str, Tensor, Tensor]:
    """The layer's own name, its activations and the target's gradient there."""
    if layer is None:
        return _at_last_layer(network, image, target)
    chosen = network.layers_for(image)[layer]
    if not _has_places(chosen):
        what = "one place only" if chosen.has_space else "no space"
        raise LayerError(f"layer {layer!r} has {what}, its shape is {chosen.shape}; {_advice(network, image, target)}")
    try:
        return chosen.name, *network.layer_gradient(image, target, chosen.name)
    except LayerError as error:
        raise LayerError(f"{error}; {_advice(network, image, target)}") from None


def _at_last_layer(network: Network, image: Tensor, target: Target) -> tuple[str, Tensor, Tensor]:
    for name in _candidates(network, image, target):
        try:
            return name, *network.layer_gradient(image, target, name)
        except LayerError:  # it lies beside the way to the target
            continue
    raise LayerError(
        f"no layer with more than one place leads to the target {target.text!r}; ask for one behind such a layer, or "
        "take a method that needs none, as saliency or occlusion"
    )


def _candidates(network: Network, image: Tensor, target: Target) -> list[str]:
    """Layers of features with more than one place that come before what is asked about, the last first."""
    layers = network.layers_for(image)
    names = list(layers)
    end = min((names.index(name) for name in target.layers), default=len(names))
    maps_of_classes = _maps_of_classes(network, image) if target.needs_output else ()
    return [
        name
        for name in reversed(names[:end])
        if _has_places(layers[name])
        and not _NO_FEATURES.fullmatch(layers[name].kind)
        and layers[name].shape[0] not in maps_of_classes
    ]


def _maps_of_classes(network: Network, image: Tensor) -> tuple[int, ...]:
    """How many channels a layer has that holds the output's own maps, if it is maps: what they are made of is asked."""
    with torch.no_grad():
        logits = network.logits(image if image.dim() == 3 else image[0])
    if logits.dim() < 3:
        return ()
    return (1, len(logits)) if network.head == "single-logit" else (len(logits),)


def _has_places(layer: Layer) -> bool:
    return layer.has_space and layer.shape[1] * layer.shape[2] > 1


def _advice(network: Network, image: Tensor, target: Target) -> str:
    names = _candidates(network, image, target)
    return f"layers with space: {', '.join(names[:_NAMED])}" + (", …" if len(names) > _NAMED else "")
