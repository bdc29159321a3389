"""Preferred: what the channels of each layer would like to see, from shallow to deep (L30)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from convscope.errors import ImageError, LayerError, NetworkError, Stopped, TargetError
from convscope.image.recipe import JSON, Recipe
from convscope.image.write import to_picture
from convscope.network.network import Network
from convscope.network.stages import stage_ends
from convscope.progress import Watcher, part_of
from convscope.render.grid import fitted_size, rows
from convscope.render.legend import captioned
from convscope.render.result import Pictured
from convscope.synthesis.maximize import Maximized, maximize

_SMALLEST = 32
"""Rows and columns below which no picture is made smaller than the network's input."""
_FIELDS = 1.5
_CELL = 112
_ROUNDING = 1e-5
_UNSEEN = (236, 236, 236)
"""Light grey, in place of what a channel that never answers would like to see."""


@dataclass(frozen=True)
class Row:
    """The preferred images of one layer: `names` of what each is of, and whether it `answers` to anything.

    A channel that gave the same value at each step, whatever the image was, would show the noise that it began with.
    `extent` says how much of the image a unit sees, `shown` how many rows and columns of the images' middle the plate
    shows; None for all.
    """

    layer: str
    extent: str
    names: tuple[str, ...]
    answers: tuple[bool, ...]
    made: Maximized
    shown: tuple[int, int] | None = None


@dataclass(frozen=True)
class Preferred(Pictured):
    """The plate: `rows` from the first layer to the last, the classes at its end."""

    rows: tuple[Row, ...]
    recipe: Recipe

    def picture(self, *, cell: int = _CELL) -> Image.Image:
        """A row a layer, each image above its channel or class, its longer side `cell` pixels or a little less."""
        table = [(f"{row.layer}, {row.extent}" if row.extent else row.layer, _cells(row, cell)) for row in self.rows]
        note = "beside each layer how many pixels across a unit sees"
        return rows(table, title=f"{self.recipe.network}: preferred images from shallow to deep", note=note)


def preferred(
    network: Network,
    layers: Sequence[str] | None = None,
    *,
    channels: int | Sequence[int] = 4,
    classes: int | Sequence[str | int] | None = None,
    preset: str = "lucid",
    size: int | tuple[int, int] | None = None,
    steps: int | None = None,
    seed: int = 0,
    batch: int = 8,
    progress: Watcher | None = None,
    **options: Any,
) -> Preferred:
    """Images that some channels of each layer answer to most, from shallow to deep.

    The plate of Yosinski et al. (2015), "Understanding neural networks through deep visualization", figure 4, for any
    network: colours and strokes first, then textures, then parts and things. A channel's image maximizes its mean over
    all places; see `maximize`.

    Parameters
    ----------
    layers
        By name, with the channels wanted or without: `blocks.3`, `blocks.3:5,12`. By default the ends of all stages.
    channels
        Of layers that don't name theirs: how many, evenly spread over all; or which.
    classes
        How many of the classes, evenly spread, or which: labels, `class:207` or indices. By default as many as channels
        where no layers are named, and none where some are.
    size
        Rows and columns of all images. By default the network's input size, or half of it for layers whose units see
        little; of these the plate shows the middle, the less the less they see.
    preset, steps, options
        As for `maximize`; of the options only what JSON can hold.
    seed
        Of the random numbers, the same in each row.
    batch
        Images that climb together.
    progress
        Called after each step with the row's images as they are; returning False stops.

    Raises
    ------
    LayerError, TargetError
        There is no such layer, channel or class.
    Stopped
        As `maximize` does; `so_far` is the plate of the rows that were done.
    ImageError, NetworkError, PartError

    >>> import convscope as cs
    >>> made = preferred(cs.load("efficientnet-lite0"), ["blocks.0", "blocks.2:7"], channels=2, steps=1)
    >>> [(row.layer, row.names) for row in made.rows]
    [('blocks.0', ('channel 4', 'channel 12')), ('blocks.2', ('channel 7',))]
    """
    wanted = [_of_layer(network, each, channels) for each in (_stages(network) if layers is None else layers)]
    several = _count(channels) if layers is None and network.classes else 0
    wanted += _of_classes(network, several if classes is None else classes)
    if not wanted:
        raise LayerError("got no layers and no classes, expected one at least")
    told: dict[str, JSON] = {
        "layers": None if layers is None else list(layers),
        "channels": channels, "classes": classes, "preset": preset, "size": size, "steps": steps, **options,
    }  # fmt: skip
    recipe = network.recipe("preferred", told, batch=batch, seed=seed)
    done: list[Row] = []
    for index, row in enumerate(wanted):
        own, shown = _sizes(network, row.layer) if size is None else (size, None)
        try:
            made = maximize(
                network, row.targets, preset=preset, size=own, steps=steps, seed=seed, batch=batch,
                progress=part_of(progress, index, len(wanted)), **options,
            )  # fmt: skip
        except Stopped as stopped:
            stopped.so_far = Preferred(tuple(done), recipe) if done else stopped.so_far
            raise
        done.append(Row(row.title, row.extent, row.names, _answers(made), made, shown))
    return Preferred(tuple(done), recipe)


@dataclass(frozen=True)
class _Wanted:
    """A row to be made: of one `layer`, or of classes where it is None."""

    title: str
    extent: str
    layer: str | None
    names: tuple[str, ...]
    targets: list[str]


def _stages(network: Network) -> list[str]:
    """The ends of the stages; without the last vector where it is but the mean of maps that are there."""
    ends = stage_ends(network)
    known = [network.layers[name] for name in ends]
    pooled = len(ends) > 1 and not known[-1].has_space and known[-1].shape[0] == known[-2].shape[0]
    return ends[:-1] if pooled else ends


def _of_layer(network: Network, text: str, channels: int | Sequence[int]) -> _Wanted:
    """The channels named in the text, or those of `channels`."""
    parts = re.fullmatch(r"([^:]+)(?::(\d+(?:,\d+)*))?", text.strip())
    if not parts:
        raise LayerError(f"can't understand {text!r}; expected LAYER, LAYER:CHANNEL or LAYER:CHANNEL,CHANNEL,…")
    layer = network.layers[parts[1]]
    named = [int(each) for each in parts[2].split(",")] if parts[2] else channels
    if not layer.shape:
        raise LayerError(f"{layer.name} is one number and has no channels")
    chosen = _spread(named, layer.shape[0]) if isinstance(named, int) else list(named)
    for each in chosen:
        if not 0 <= each < layer.shape[0]:
            raise LayerError(f"got channel {each}, and {layer.name} has channels 0 to {layer.shape[0] - 1}")
    field = layer.direct_field
    extent = "" if field is None or not layer.has_space else "whole image" if field.whole else f"{field} px"
    names = tuple(f"channel {each}" for each in chosen)
    return _Wanted(parts[1], extent, layer.name, names, [f"{layer.name}:{each}" for each in chosen])


def _of_classes(network: Network, classes: int | Sequence[str | int]) -> list[_Wanted]:
    """The row of classes; none where none are wanted."""
    if isinstance(classes, int) and classes > 0 and network.classes is None:
        raise TargetError(f"{network.name} has no classes: its output is maps; leave classes out, or give classes=0")
    chosen = _spread(classes, network.classes or 0) if isinstance(classes, int) else classes
    targets = [f"class:{each}" if isinstance(each, int) else each for each in chosen]
    indices = [network.target(each).index for each in targets]
    labelled = zip(targets, indices, strict=True)
    names = tuple(network.labels[index] if network.labels and index is not None else text for text, index in labelled)
    return [_Wanted("classes", "", None, names, targets)] if targets else []


def _spread(count: int, of: int) -> list[int]:
    """So many numbers below `of`, evenly spread; all where there are fewer.

    >>> _spread(4, 16), _spread(4, 3)
    ([2, 6, 10, 14], [0, 1, 2])
    """
    if count < 0:
        raise ImageError(f"got {count} channels or classes, expected how many there shall be of each")
    count = min(count, of)
    return [int((index + 0.5) * of / count) for index in range(count)]


def _count(channels: int | Sequence[int]) -> int:
    return channels if isinstance(channels, int) else len(channels)


def _sizes(network: Network, layer: str | None) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
    """How large a layer's images are made, and how much of their middle is shown; None for what the preset has.

    Shown is the input size, halved while an image holds `_FIELDS` times what a unit sees and the network runs on it.
    Made is half the input size at least: transforms move the edges out of sight, which come out wild.
    """
    rows, columns = network.input_size
    field = None if layer is None else network.layers[layer].direct_field
    if field is None or field.whole:
        return None, None
    least = max(_SMALLEST, _FIELDS * max(field.size))
    half = rows // 2, columns // 2
    if min(half) < least or not _runs(network, half):
        return None, None
    rows, columns = half
    while min(rows, columns) // 2 >= least:
        rows, columns = rows // 2, columns // 2
    return half, (rows, columns)


def _runs(network: Network, size: tuple[int, int]) -> bool:
    """Whether the network takes images of that size; one that ends in a flattened map takes but one."""
    try:
        network.layers_for(torch.zeros(network.channels, *size))
    except NetworkError:
        return False
    return True


def _answers(made: Maximized) -> tuple[bool, ...]:
    """Whether each target's value changed at all on the way, by more than it may by rounding."""
    values = torch.cat([made.values.cpu(), made.scores[None].to(made.values.dtype).cpu()])
    spread = values.amax(0) - values.amin(0)
    return tuple((spread > _ROUNDING * values.abs().amax(0)).tolist())


def _cells(row: Row, cell: int) -> list[Image.Image]:
    """The images above their names; light grey for what never answers."""
    pictures = []
    for image, name, answers in zip(row.made.images, row.names, row.answers, strict=True):
        picture = _fitted(to_picture(_middle(image, row.shown)), cell)
        if not answers:
            picture, name = Image.new("RGB", picture.size, _UNSEEN), f"{name}: never answers"
        pictures.append(captioned(picture, [name]))
    return pictures


def _fitted(picture: Image.Image, cell: int) -> Image.Image:
    """At that size; enlarged smoothly, since squares would hide the strokes that these pictures are made of."""
    height, width = fitted_size(picture.height, picture.width, cell)
    return picture.resize(
        (width, height), Image.Resampling.BICUBIC if width > picture.width else Image.Resampling.LANCZOS
    )


def _middle(image: Tensor, size: tuple[int, int] | None) -> Tensor:
    """So many rows and columns about the middle of an image `(C, H, W)`."""
    rows, columns = size or image.shape[1:]
    top, left = (image.shape[1] - rows) // 2, (image.shape[2] - columns) // 2
    return image[:, top : top + rows, left : left + columns]
