"""`convscope patches`: what do the channels of a layer answer to?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from convscope.cli.options import Device, Json, Weights, WeightsKey, file_name, load_network
from convscope.cli.progress import bar
from convscope.errors import ConvscopeError

if TYPE_CHECKING:
    from convscope.scanning.stored import Scan

_CHANNELS_OF_A_PLATE = 6
_CHANNELS = 24


def patches(
    scan: Annotated[Path, typer.Argument(metavar="SCAN", help="The folder that `convscope scan` wrote.")],
    layer: Annotated[
        str | None,
        typer.Argument(
            metavar="[LAYER[:CHANNEL,…]]", help="A layer, or some of its channels; without it a plate of all layers."
        ),
    ] = None,
    layers: Annotated[str | None, typer.Option(help="A plate of these layers, separated by commas.")] = None,
    projections: Annotated[
        str | None,
        typer.Option(
            "--projections", "-p", help="gradient, guided, deconvnet: what in each patch excites; several with commas."
        ),
    ] = None,
    smooth: Annotated[str | None, typer.Option(help="positive: follow a rule through GELU, SiLU and the like.")] = None,
    order: Annotated[
        str | None,
        typer.Option(help="Which channels first: strongest, selective, index; by default as the result suits."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most so many channels; of a plate, in each layer.")
    ] = None,
    network: Annotated[
        str | None, typer.Option("--network", "-n", help="The scan's network, where its name alone doesn't load it.")
    ] = None,
    weights: Weights = None,
    weights_key: WeightsKey = None,
    device: Device = "cpu",
    as_json: Json = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A PNG; or for one layer a page of all its channels, as .html.")
    ] = None,
) -> None:
    """What excites the channels of a layer most? Shows the strongest patches of all that was scanned."""
    from convscope.scanning.stored import open_scan

    if layer is not None and layers is not None:
        raise ConvscopeError(f"got the layer {layer!r} and --layers {layers!r}; expected one or the other")
    given = None if network is None else load_network(network, weights, weights_key, device)
    opened = open_scan(scan, given)
    options: dict[str, Any] = {"smooth": smooth}
    options |= {} if projections is None else {"projections": _parts(projections)}
    options |= {} if order is None else {"order": order}
    if layer is None:
        _plate(opened, layers, limit, options, as_json, out)
    else:
        _layer(opened, layer, limit, options, as_json, out)


def _plate(
    scan: "Scan", layers: str | None, limit: int | None, options: dict[str, Any], as_json: bool, out: Path | None
) -> None:
    from convscope.plates.patch_plates import layer_plate

    names = None if layers is None else _parts(layers)
    path = out or file_name(scan.path.name, "layers")
    if path.suffix.lower() == ".html":
        raise ConvscopeError(
            f"got --out {str(path)!r} for a plate of layers, expected a PNG; name one LAYER for a page"
        )
    with bar("drawing patches") as watcher:
        plate = layer_plate(scan, names, channels=limit or _CHANNELS_OF_A_PLATE, progress=watcher, **options)
    if out is not None or not as_json:
        plate.save(path)
    typer.echo(plate.to_json() if as_json else str(path))


def _layer(
    scan: "Scan", asked: str, limit: int | None, options: dict[str, Any], as_json: bool, out: Path | None
) -> None:
    from convscope.plates.patch_plates import layer_page
    from convscope.scanning.patches import top_patches

    layer, channels = _channels(asked)
    options["channel"] = channels
    path = out or file_name(scan.path.name, asked)
    if path.suffix.lower() == ".html":
        with bar("drawing patches") as watcher:
            layer_page(scan, layer, limit=limit, progress=watcher, **options).save(path)
        typer.echo(str(path))
        return
    result = top_patches(scan, layer, limit=limit or _CHANNELS, **options)
    if out is not None or not as_json:
        with bar("drawing patches") as watcher:
            result.tiles(progress=watcher)
        result.save(path)
    typer.echo(result.to_json() if as_json else str(path))


def _channels(asked: str) -> tuple[str, list[int] | None]:
    """The layer, and which of its channels; None for all."""
    layer, colon, numbers = asked.partition(":")
    try:
        return layer, [int(each) for each in numbers.split(",")] if colon else None
    except ValueError:
        raise ConvscopeError(
            f"got {asked!r}, expected LAYER, LAYER:CHANNEL or LAYER:CHANNEL,CHANNEL,… with channels by number"
        ) from None


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
