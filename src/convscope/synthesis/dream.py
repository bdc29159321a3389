"""Dream: a photograph with more and more in it of what a layer sees there."""

from dataclasses import dataclass

import torch
from torch import Tensor

from convscope.image.recipe import JSON
from convscope.network.network import Network
from convscope.progress import Steps, Watcher
from convscope.synthesis.dreaming import (
    Dreaming,
    Wanted,
    check_photograph,
    dream_objective,
    manner_for,
    signed_layers,
)
from convscope.synthesis.synthesized import Synthesized, as_files_hold


@dataclass(frozen=True, kw_only=True)
class Dream(Synthesized):
    """A dream of a photograph: `images` `(1, C, H, W)` of the photograph's own size.

    `values` `(octaves · steps, 1)` is the objective at each step; it begins anew with each octave. `note` says in words
    what the picture would not.
    """

    note: str


def dream(
    network: Network,
    image: Tensor,
    target: Wanted = None,
    *,
    guide: Tensor | None = None,
    octaves: int = 4,
    scale: float = 1.4,
    steps: int = 10,
    jitter: int = 32,
    rate: float = 1.5 / 255,
    tile: int | None = None,
    seed: int = 0,
    progress: Watcher | None = None,
) -> Dream:
    """A photograph changed so that a layer answers more strongly with whatever it answers already: DeepDream.

        x ← clip(x + rate · g / mean |g|),  g = ∂/∂x ½ mean a(x)²

    a are the layer's activations, so that what arrives there as the gradient is the activation itself: where something
    is seen a little, more of it is asked for (Mordvintsev, Olah and Tyka 2015). It begins on the photograph made small,
    and what was added there is carried over, enlarged, to the next larger octave; before each step the picture is
    rolled by a few random pixels. Shallow layers give strokes and ornaments, deep ones parts of animals and things.

    Parameters
    ----------
    image
        `(C, H, W)` in [0, 1], of any size: it is not brought to the network's input.
    target
        A layer, for its energy as above; any other target (`class:207`, `LAYER:CHANNEL`, …) or an `Objective`, to
        raise that; or a sequence of these, added. By default a layer that shows parts of things.
    guide
        A second image, brought to the network's input: at each place the layer is drawn to that vector of the guide
        that it goes along with most, in place of to itself.
    octaves, scale
        How many sizes, and how much larger each is than the one before.
    steps
        On each octave.
    jitter
        Pixels that a roll moves the picture by at most, either way, along each axis.
    rate
        What a pixel moves in a step on average; 1 is from black to white.
    tile
        Side of the windows through which a large picture is seen (see `convscope.synthesis.tiled`); by default such
        that one of 12 million pixels takes less than 3 GB, and none where it is small.
    seed
        Of the random numbers.
    progress
        Called after each step, with the octave's picture `(1, C, h, w)` as the preview; returning False stops.

    Raises
    ------
    StepFailed, Cancelled
        With the last good picture `(1, C, H, W)` in `so_far`.
    ImageError, LayerError, TargetError, NetworkError

    >>> import convscope as cs
    >>> from convscope.synthesis.dream import dream
    >>> dream(cs.load("efficientnet-lite0"), cs.read_image("chelsea", 96), octaves=2, steps=1).image.shape
    torch.Size([3, 64, 96])
    """
    check_photograph(network, image)
    texts, objective = dream_objective(network, target, guide)
    size = (image.shape[-2], image.shape[-1])
    manner = manner_for(
        network, objective, size, tile=tile, octaves=octaves, scale=scale, steps=steps, jitter=jitter, rate=rate
    )
    watched = Steps(octaves * steps, progress)
    with torch.inference_mode(False):
        picture, values = Dreaming(network, objective, manner)(image, torch.Generator().manual_seed(seed), watched)
    told: dict[str, JSON] = {
        "target": texts, "guide": None if guide is None else "image", **manner.parameters()
    }  # fmt: skip
    return Dream(
        images=as_files_hold(picture[None]),
        values=values[:, None],
        labels=[objective.text],
        note=_note([] if guide is not None else signed_layers(network, texts, image)),
        recipe=network.recipe("dream", told, images=[image] if guide is None else [image, guide], seed=seed),
    )


def _note(signed: list[str]) -> str:
    if not signed:
        return ""
    return (
        f"{', '.join(signed)} answers with negative values, too: the dream drives these further down as it drives "
        "positive ones up. A layer behind a rectifier is only boosted"
    )
