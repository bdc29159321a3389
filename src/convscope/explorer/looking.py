"""What the page Look shows: a layer as a sprite, a unit's panel, a frame of the camera."""

import base64
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from convscope.errors import ImageError, LayerError, RuleError, TargetError
from convscope.explorer.images import UPLOADED
from convscope.explorer.lens import Lens
from convscope.explorer.models import (
    HistogramTold,
    LayerShown,
    LayerTold,
    MapShown,
    PredictionTold,
    UnitShown,
    UsualTold,
)
from convscope.explorer.sprite import Sprite, map_png, sprite
from convscope.image.formats import HEAD, identify
from convscope.image.read import read_picture
from convscope.network.heads import Prediction
from convscope.network.layers import Layer
from convscope.network.rules import Rule
from convscope.network.stages import below_ceiling
from convscope.render.colours import Scale
from convscope.scanning.stored import Scan
from convscope.scanning.summary import EDGES

FRAME_PIXELS = 4_000_000
"""More than a camera's frame may have."""

_BINS, _CLIP = 32, 99.5


def layers_told(lens: Lens) -> list[LayerTold]:
    """The strip of layers."""
    return [_layer_told(each, lens.stages[name], lens.aliases.get(name, [])) for name, each in lens.layers.items()]


def _layer_told(layer: Layer, stage: str, aliases: list[str]) -> LayerTold:
    seen = layer.receptive_field
    return LayerTold(
        name=layer.name, kind=layer.kind, shape=list(layer.shape), channels=layer.shape[0],
        parameters=layer.parameters, multiply_adds=layer.multiply_adds,
        sees=None if seen is None or seen.whole else seen.size, stage=stage, aliases=aliases,
    )  # fmt: skip


def predictions_told(predictions: Sequence[Prediction]) -> list[PredictionTold]:
    """Predictions for the client."""
    return [PredictionTold(index=each.index, label=each.label, probability=each.probability) for each in predictions]


def layer_shown(layer: str, maps: Tensor, *, shared: bool, cell: int) -> tuple[LayerShown, bytes]:
    """All channels of a layer in one picture, and how to read it."""
    drawn: Sprite = sprite(maps, shared=shared, cell=cell)
    known = ~maps.isnan().flatten(1).all(dim=1)
    largest, places = maps.nan_to_num(nan=-torch.inf).flatten(1).max(dim=1)
    columns = maps.shape[2]
    shown = LayerShown(
        layer=layer, shape=list(maps.shape), rows=drawn.rows, columns=drawn.columns, across=drawn.across,
        diverging=drawn.diverging, lows=list(drawn.lows), highs=list(drawn.highs),
        largest=[_number(each) for each in largest.where(known, torch.nan).tolist()],
        places=[divmod(place, columns) for place in places.tolist()],
        order=largest.argsort(descending=True, stable=True).tolist(),
    )  # fmt: skip
    return shown, drawn.png


def unit_shown(
    lens: Lens,
    id: str,
    image: Tensor,
    layer: str,
    channel: int,
    *,
    place: tuple[int, int] | None,
    rule: Rule,
    scan: Scan | None,
) -> UnitShown:
    """A unit's panel. Raises LayerError for a channel or a place that there isn't."""
    known = lens.layer(layer)
    maps = lens.maps(id, image, layer)
    if channel >= len(maps):
        raise LayerError(f"got channel {channel}, and {layer} has channels 0 to {len(maps) - 1}")
    values = maps[channel]
    rows, columns = values.shape
    if place is None:
        place = divmod(int(values.nan_to_num(nan=-torch.inf).argmax()), columns)
    if place[0] >= rows or place[1] >= columns:
        raise LayerError(f"got the place {place}, and {layer} has rows 0 to {rows - 1} and columns 0 to {columns - 1}")
    # At a ceiling nothing drives a unit any more, and there its strongest place is.
    driven_of = below_ceiling(lens.network, known.name)
    target = f"{driven_of}:{channel}" + (f"@{place[0]},{place[1]}" if known.has_space else "")
    driven, driven_error = None, None
    try:
        gradient = lens.gradient(image, lens.target(target), rule)
        if gradient.any():
            driven = map_shown(gradient.abs().amax(dim=0), unit="activation per pixel value", percentile=_CLIP)
        else:
            driven_error = "nothing: a rectifier on the way is off here, and lets no gradient through"
    except (RuleError, TargetError) as error:
        driven_error = str(error)
    seen = known.receptive_field
    return UnitShown(
        layer=known.name, channel=channel, place=place, value=_number(float(values[place])),
        field=None if seen is None or seen.whole else seen.box(*place),
        activation=map_shown(values, unit="activation"), histogram=_histogram(values), driven=driven,
        driven_error=driven_error, driven_of=driven_of, usual=None if scan is None else _usual(scan, layer, channel),
    )  # fmt: skip


def map_shown(values: Tensor, *, unit: str, percentile: float = 100.0) -> MapShown:
    """A map in the answer itself: it is small, and another request would take longer than it."""
    scale = Scale.of(values, percentile=percentile)
    png = "data:image/png;base64," + base64.b64encode(map_png(values, scale)).decode()
    return MapShown(
        png=png, rows=values.shape[0], columns=values.shape[1], low=scale.low, high=scale.high,
        diverging=scale.diverging, unit=unit,
    )  # fmt: skip


def frame_image(lens: Lens, data: bytes) -> Tensor:
    """A camera's frame as it comes to the network. Raises ImageError."""
    kind = identify(data[:HEAD])
    if kind not in UPLOADED:
        raise ImageError(f"got {kind}; expected a frame as JPEG, PNG or WebP")
    preparation = lens.network.preparation
    image, _ = read_picture(
        data, channels=preparation.channels, window=preparation.window, pixel_limit=FRAME_PIXELS,
        at_least=preparation.at_least,
    )  # fmt: skip
    return preparation.prepare(image)


def _histogram(values: Tensor) -> HistogramTold:
    array = values.numpy()
    counts, edges = np.histogram(array[np.isfinite(array)], bins=_BINS)
    return HistogramTold(edges=edges.tolist(), counts=counts.tolist())


def _usual(scan: Scan, layer: str, channel: int) -> UsualTold | None:
    """What the scan knows of the channel; None where it has not looked at that layer."""
    try:
        found = scan.statistics(layer)
    except LayerError:
        return None
    if not found.count:
        return None
    limit = float(np.finfo(np.float32).max)
    return UsualTold(
        images=found.count, mean=float(found.mean[channel]), spread=float(np.sqrt(found.variance[channel])),
        largest=float(found.greatest[channel]), share=float(found.positive[channel]) / found.count,
        histogram=HistogramTold(
            edges=np.clip(EDGES, -limit, limit).tolist(), counts=found.histogram[channel].tolist()
        ),
    )  # fmt: skip


def _number(value: float) -> float | None:
    """What JSON can hold: None for what is no number."""
    return None if math.isnan(value) else float(np.nan_to_num(value))
