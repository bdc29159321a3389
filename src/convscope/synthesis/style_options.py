"""What styling may be asked for, checked and made definite: images, layers, weights, masks, scales."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar, get_args

import torch
from torch import Tensor

from convscope.errors import ImageError, LayerError, nearest
from convscope.image.check import check_image
from convscope.network.network import Network
from convscope.network.stages import stage_ends
from convscope.synthesis.style_loss import Colour, Size
from convscope.synthesis.styling import sized

LayersLike = str | Sequence[str] | Mapping[str, float]
Word = TypeVar("Word", bound=str)

VGG_LAYERS = {"content": ("relu4_2",), "style": ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")}
"""Those of Gatys, Ecker and Bethge (2016)."""

STARTS = ("content", "style", "noise")

_RGB = 3
# On its shorter side, the coarsest scale that is taken unasked.
_COARSEST = 64


def check_images(network: Network, content: Tensor, styles: Sequence[Tensor], start: str | Tensor) -> None:
    """Raise ImageError for an image that is none, for no styles, and for a start that is not known."""
    if not styles:
        raise ImageError("got no style; give one image or more to take the style of")
    named = {"the content": content, **{f"style {index + 1}": each for index, each in enumerate(styles)}}
    if isinstance(start, Tensor):
        named["the start"] = start
    elif start not in STARTS:
        raise ImageError(f"no start {start!r}; expected {', '.join(STARTS)}, or an image")
    for name, image in named.items():
        check_image(image, channels=network.channels)
        if image.dim() != 3:
            raise ImageError(f"got a batch of shape {tuple(image.shape)} for {name}, expected one image (C, H, W)")
        if not image.isfinite().all():
            raise ImageError(f"got NaN or infinity in {name}, expected values in [0, 1]")


def known_colour(network: Network, colour: Colour) -> Colour:
    """What is done about colours, if it can be. Raises ImageError."""
    if known(colour, get_args(Colour), "colour") == "luminance" and network.channels != _RGB:
        raise ImageError(f"{network.name} takes {network.channels} channels; expected 3 channels to keep colours of")
    return colour


def known(word: Word, words: Iterable[str], what: str) -> Word:
    """The word, if it is one of those that there are. Raises ImageError.

    >>> known("gramm", ["gram", "moments"], "statistics")
    Traceback (most recent call last):
    convscope.errors.ImageError: no statistics 'gramm'; nearest: gram
    """
    if word not in words:
        raise ImageError(f"no {what} {word!r}; {nearest(str(word), words)}")
    return word


def shares(weights: Sequence[float] | None, count: int) -> tuple[float, ...]:
    """The weights of so many styles, adding up to 1. Raises ImageError.

    >>> shares([3, 1], 2), shares(None, 2)
    ((0.75, 0.25), (0.5, 0.5))
    """
    given = [1.0] * count if weights is None else [float(each) for each in weights]
    if len(given) != count:
        raise ImageError(f"got {len(given)} weights for {count} styles, expected one for each")
    return tuple(_normalized(given, "the styles"))


def layer_weights(network: Network, of: str, given: LayersLike | None) -> dict[str, float]:
    """The layers that count for "content" or "style", with weights that add up to 1.

    Raises LayerError for a layer that the network lacks, or that has no places where style is looked for.
    """
    layers = network.layers
    if given is None:
        given = _usual(network, of)
    weights = given if isinstance(given, Mapping) else dict.fromkeys([given] if isinstance(given, str) else given, 1.0)
    if not weights:
        raise LayerError(f"no layers to compare the {of} at in {network.name}; name some with places")
    for name in weights:
        if not layers[name].has_space and of == "style":
            raise LayerError(f"layer {name!r} has shape {layers[name].shape}, expected (C, H, W): it has no places")
    normalized = _normalized([float(each) for each in weights.values()], f"the {of} layers")
    return {name: share for name, share in zip(weights, normalized, strict=True) if share > 0}


def _usual(network: Network, of: str) -> Sequence[str]:
    if all(each in network.layers for each in VGG_LAYERS[of]):
        return VGG_LAYERS[of]
    ends = [each for each in stage_ends(network) if network.layers[each].has_space]
    return ends if of == "style" else ends[len(ends) // 2 :][:1]


def _normalized(weights: Sequence[float], what: str) -> list[float]:
    total = math.fsum(weights)
    if min(weights) < 0 or not 0 < total < math.inf:
        raise ImageError(f"got weights {', '.join(f'{each:g}' for each in weights)} of {what}; expected none below 0")
    return [each / total for each in weights]


def region_masks(masks: Sequence[Tensor], content: Tensor, count: int) -> Tensor:
    """Masks `(H, W)` or `(C, H, W)`, the mean of whose channels counts, as `(styles, H, W)`. Raises ImageError."""
    if len(masks) != count:
        raise ImageError(f"got {len(masks)} masks for {count} styles, expected one for each, in their order")
    size = tuple(content.shape[-2:])
    flat = []
    for index, mask in enumerate(masks, 1):
        if mask.dim() not in (2, 3) or tuple(mask.shape[-2:]) != size:
            raise ImageError(
                f"got mask {index} of shape {tuple(mask.shape)}, expected the content's size, {size[0]} × {size[1]}"
            )
        one = mask.float() if mask.dim() == 2 else mask.float().mean(dim=0)
        if not (one.min() >= 0 and one.max() <= 1 and one.any()):
            raise ImageError(f"mask {index} has to have values in [0, 1], some of them above 0")
        flat.append(one)
    return torch.stack(flat)


def scale_sizes(content: Tensor, sides: int | Sequence[int] | None, *, finest_only: bool = False) -> list[Size]:
    """Rows and columns at each scale, from the longer `sides` asked for, or half of the content's and so on.

    >>> scale_sizes(torch.zeros(3, 150, 201), None)
    [(75, 101), (150, 201)]
    >>> scale_sizes(torch.zeros(3, 300, 400), [64])
    [(48, 64)]
    """
    longest = max(content.shape[-2:])
    if sides is None:
        coarser = math.log2(max(1, min(content.shape[-2:]) / _COARSEST))
        count = 1 if finest_only else 1 + int(coarser)
        sides = [math.ceil(longest / 2**halved) for halved in reversed(range(count))]
    asked = [sides] if isinstance(sides, int) else list(sides)
    if not asked or min(asked) < 1:
        raise ImageError(f"got sizes={asked}, expected longer sides in pixels, of at least 1")
    return [sized(content, side / longest) for side in asked]
