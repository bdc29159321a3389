"""`convscope preferred` and `convscope facets`: plates of preferred images, and the kinds of pictures behind one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from convscope.cli.making import Preview, Regularizers, Seed, Size, Steps, Transforms, made, size_of
from convscope.cli.options import (
    DEFAULT_NETWORK,
    Device,
    NetworkName,
    Out,
    Weights,
    WeightsKey,
    file_name,
    load_network,
)

if TYPE_CHECKING:
    from convscope.scanning.stored import Scan

Preset = Annotated[str, typer.Option(help="lucid, simonyan, yosinski or maco, as for maximize.")]
Batch = Annotated[int, typer.Option(min=1, help="Images at once.")]


def preferred(
    layers: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[LAYER[:CHANNEL,…]…]", help="Layers, or some of their channels; by default all stages."
        ),
    ] = None,
    network: NetworkName = DEFAULT_NETWORK,
    channels: Annotated[int, typer.Option("--channels", "-c", min=1, help="How many of each layer.")] = 4,
    classes: Annotated[
        str | None,
        typer.Option(
            help="How many classes, or which, separated by ;. Without layers, as many as channels; 0 for none."
        ),
    ] = None,
    preset: Preset = "lucid",
    size: Size = None,
    steps: Steps = None,
    transforms: Transforms = None,
    regularizers: Regularizers = None,
    seed: Seed = 0,
    batch: Batch = 8,
    preview: Preview = None,
    weights: Weights = None,
    weights_key: WeightsKey = None,
    device: Device = "cpu",
    out: Out = None,
) -> None:
    """What would each layer like to see? A plate of preferred images from shallow to deep, classes at its end."""
    from convscope.plates.preferred import preferred as make_plate

    net = load_network(network, weights, weights_key, device)
    options = _given(transforms=transforms, regularizers=regularizers, size=size_of(size), steps=steps)
    made(
        lambda watcher: make_plate(
            net, layers or None, channels=channels, classes=_classes(classes), preset=preset, seed=seed, batch=batch,
            progress=watcher, **options,
        ),
        label="maximizing", out=out or file_name("preferred.png", *(layers or [])[:3]), preview=preview,
    )  # fmt: skip


def facets(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="A label, class:207, LAYER:CHANNEL, …")],
    source: Annotated[
        str, typer.Argument(metavar="SCAN|PICTURES", help="What `convscope scan` wrote, or what it takes: a folder, …")
    ],
    network: Annotated[
        str | None, typer.Option("--network", "-n", help="By default the scan's, or efficientnet-lite0.")
    ] = None,
    count: Annotated[int | None, typer.Option("--facets", "-f", min=1, help="How many kinds of pictures.")] = None,
    top: Annotated[int, typer.Option(min=1, help="So many pictures that excite the target most are parted.")] = 60,
    layer: Annotated[str | None, typer.Option(help="Whose codes tell the kinds apart; by default the last.")] = None,
    preset: Preset = "lucid",
    steps: Steps = None,
    transforms: Transforms = None,
    regularizers: Regularizers = None,
    seed: Seed = 0,
    batch: Batch = 8,
    preview: Preview = None,
    weights: Weights = None,
    weights_key: WeightsKey = None,
    device: Device = "cpu",
    out: Out = None,
) -> None:
    """What kinds of pictures does a class or a channel answer to? Shows each kind, and an image preferred of it."""
    from convscope.plates.facets import facets as find_facets

    scan = _scan(source, network, weights, weights_key, device)
    net = load_network(network or DEFAULT_NETWORK, weights, weights_key, device) if scan is None else scan.network
    options = _given(transforms=transforms, regularizers=regularizers, steps=steps)
    made(
        lambda watcher: find_facets(
            net, target, source if scan is None else scan, facets=count, top=top, layer=layer, preset=preset,
            seed=seed, batch=batch, progress=watcher, **options,
        ),
        label="finding facets", out=out or file_name("facets.png", target), preview=preview,
    )  # fmt: skip


def _given(**options: Any) -> dict[str, Any]:
    """Those that are not None."""
    return {name: value for name, value in options.items() if value is not None}


def _classes(text: str | None) -> int | list[str] | None:
    """How many, or which: labels may hold commas.

    >>> _classes("3"), _classes("tench; class:207")
    (3, ['tench', 'class:207'])
    """
    if text is None:
        return None
    return int(text) if text.strip().isdecimal() else [each.strip() for each in text.split(";") if each.strip()]


def _scan(
    source: str, network: str | None, weights: Path | None, weights_key: str | None, device: str
) -> "Scan | None":
    """The scan at that place; None where there is none, but pictures."""
    from convscope.scanning.header import FILE
    from convscope.scanning.stored import open_scan

    if not (Path(source) / FILE).exists():
        return None
    given = None if network is None else load_network(network, weights, weights_key, device)
    return open_scan(source, given)
