"""Style: a picture's things in the manner of another, by what a network's features say of both."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from convscope.image.recipe import JSON
from convscope.network.average_pooling import AveragePooled
from convscope.network.network import Network
from convscope.progress import Watcher
from convscope.synthesis.objectives.statistics import STATISTICS
from convscope.synthesis.optimizers import Optimizer, Schedule
from convscope.synthesis.parameterizations import Parameterization
from convscope.synthesis.settings import chosen
from convscope.synthesis.style_loss import Colour, Curve, Plan
from convscope.synthesis.style_options import (
    LayersLike,
    check_images,
    known,
    known_colour,
    layer_weights,
    region_masks,
    scale_sizes,
    shares,
)
from convscope.synthesis.styling import Styling, sized
from convscope.synthesis.synthesized import Synthesized
from convscope.synthesis.windowed_style import windows_for

Pooling = Literal["max", "average"]

PRESETS: dict[str, dict[str, Any]] = {
    "fine": {"parameterization": "pyramid:levels=3", "optimizer": "lbfgs:1", "steps": 100},
    "adam": {"parameterization": "pyramid:levels=3", "optimizer": "adam:0.03", "schedule": "cosine:0.1", "steps": 150},
    "gatys": {"parameterization": "pixels", "optimizer": "lbfgs:1,history=100", "steps": 300},
}


@dataclass(frozen=True, kw_only=True)
class Style(Synthesized):
    """A picture `images` `(1, C, H, W)` in another's style.

    `curves` are the terms of the loss, one for each scale from coarse to fine, and `values` `(all steps, 1)` the loss
    itself, negative. `losses` are the terms of the finished picture at the last scale, by name.
    """

    curves: Sequence[Curve]
    losses: Mapping[str, float]

    @property
    def caption(self) -> str:
        """How near it is to both."""
        return f"content error {self.losses['content']:.2f}, style error {self.losses['style']:.3f}"


def style(
    network: Network,
    content: Tensor,
    styles: Tensor | Sequence[Tensor],
    *,
    weights: Sequence[float] | None = None,
    content_weight: float = 1.0,
    style_weight: float = 10.0,
    tv: float = 1.0,
    content_layers: LayersLike | None = None,
    style_layers: LayersLike | None = None,
    statistics: str = "gram",
    pooling: Pooling = "max",
    style_scale: float = 1.0,
    colour: Colour = "style",
    masks: Sequence[Tensor] | None = None,
    dream: str | None = None,
    dream_weight: float = 3.0,
    smoothing: bool = False,
    tile: int | None = None,
    start: str | Tensor = "content",
    sizes: int | Sequence[int] | None = None,
    preset: str = "fine",
    parameterization: str | Parameterization | None = None,
    optimizer: str | Optimizer | None = None,
    schedule: str | Schedule | None = None,
    steps: int | None = None,
    seed: int = 0,
    progress: Watcher | None = None,
) -> Style:
    """A picture with the content of one image and the style of others (Gatys, Ecker and Bethge 2016).

        argmin over x of content_weight · ‖a(x) − a₀‖² / ‖a₀‖² + style_weight · Σ ‖G(x) − G₀‖² / ‖G₀‖² + tv · TV(x)

    a are the features of a deep layer, in which things keep their places, and G the Gram matrices of several, which
    forget them. Errors are relative and each sum is a weighted mean, so the weights mean the same for any network, any
    size, and however many layers.

    Parameters
    ----------
    content
        `(C, H, W)` in [0, 1], of any size; the result has the same.
    styles
        One or more images `(C, h, w)`, each of any size.
    weights
        Of the styles, by default alike; only their proportions count.
    content_weight, style_weight, tv
        Of the terms; the last is the mean total variation.
    content_layers, style_layers
        Names, or weights by name. By default `VGG_CONTENT` and `VGG_STYLE` where the network has them; else the ends of
        its stages for style, and the middle one of these for content.
    statistics
        What is compared for style: "gram", "moments" (mean and deviation of each channel), "covariance" (and mean), or
        "wasserstein", the distance of the Gaussians of the features.
    pooling
        "average" takes means where the network takes maxima; for networks with max pooling.
    style_scale
        Styles are made so many times as large: larger ones give larger strokes.
    colour
        "style" takes the styles' colours. "luminance" keeps the content's chroma exactly; "matched" gives the styles
        the mean and covariance of the content's colours first.
    masks
        One for each style, `(H, W)` or `(C, H, W)` in [0, 1], of the content's size: where it takes that style.
        Statistics are then taken of each region by itself; borders may be soft.
    dream, dream_weight
        A layer that is to answer more strongly, too: the weight times the logarithm of its energy is subtracted.
    smoothing
        Features are compared after a softmax over each layer (see `objectives.smoothing`); for networks with residual
        connections.
    tile
        Side in pixels of windows, through which larger pictures are seen: the same loss and gradient in less memory and
        more time. By default such that a window needs 1 GiB, where the whole would need more than 2.
    start
        "content", "style" (the first), "noise", or an image, such as an earlier result.
    sizes
        Longer sides in pixels, from coarse to fine; each scale starts from the last one's picture. By default the
        content's own, before it half of that, and so on while the shorter side is at least 64; only its own for a
        `start` that is an image.
    preset
        "fine": a Laplacian pyramid by L-BFGS; "adam": the same by Adam; "gatys": pixels by L-BFGS, as published.
    parameterization, optimizer, schedule, steps
        In place of the preset's own; steps are those at each scale.
    seed
        Of the noise to start from.
    progress
        Called after each step with the picture `(1, C, h, w)` as it is; returning False stops.

    Raises
    ------
    StepFailed, Cancelled
        With the last good picture `(1, C, h, w)` in `so_far`.
    ImageError, LayerError, NetworkError, PartError

    >>> import convscope as cs
    >>> net, cup, cat = cs.load("efficientnet-lite0"), cs.read_image("coffee", 96), cs.read_image("chelsea", 96)
    >>> style(net, cup, cat, sizes=[80, 96], steps=2).image.shape
    torch.Size([3, 64, 96])
    """
    given = [styles] if isinstance(styles, Tensor) else list(styles)
    check_images(network, content, given, start)
    plan = Plan(
        content_layers=layer_weights(network, "content", content_layers),
        style_layers=layer_weights(network, "style", style_layers),
        weights=shares(weights, len(given)),
        content_weight=content_weight, style_weight=style_weight, tv=tv, dream=dream, dream_weight=dream_weight,
        statistics=known(statistics, STATISTICS, "statistics"),
        style_scale=style_scale,
        colour=known_colour(network, colour),
        smoothing=smoothing,
    )  # fmt: skip
    options = {"parameterization": parameterization, "optimizer": optimizer, "schedule": schedule, "steps": steps}
    settings = chosen(PRESETS, preset, options)
    looked = AveragePooled(network) if known(pooling, get_args(Pooling), "pooling") == "average" else network
    scales = scale_sizes(content, sizes, finest_only=not isinstance(start, str))
    regions = None if masks is None else region_masks(masks, content, len(given))
    finest = max(scales, key=math.prod)
    shown = [sized(each, style_scale * max(finest) / max(content.shape[-2:])) for each in given]
    windows = windows_for(looked, plan, settings, finest, shown, tile)
    with torch.inference_mode(False):
        made = Styling(looked, plan, settings, content, given, regions, windows).run(start, scales, seed, progress)
    told: dict[str, JSON] = {
        **plan.parameters(), "pooling": pooling, "tile": None if windows is None else windows.tile,
        "masks": None if masks is None else len(masks),
        "start": start if isinstance(start, str) else "image", "sizes": [max(each) for each in scales],
        **{name: value for name, value in settings.parameters().items() if name in options},
    }  # fmt: skip
    inputs = [content, *given, *(masks or []), *([] if isinstance(start, str) else [start])]
    return Style(
        images=made.images,
        values=torch.cat([plan.loss(each) for each in made.curves]).neg()[:, None],
        labels=[f"{len(given)} styles" if len(given) > 1 else "style"],
        curves=made.curves,
        losses=made.losses,
        recipe=network.recipe("style", told, images=inputs, seed=seed),
    )
