"""`convscope scan`: one network over many pictures."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from convscope.cli.options import (
    DEFAULT_NETWORK,
    Device,
    Json,
    NetworkName,
    Weights,
    WeightsKey,
    load_network,
    say,
    split,
)
from convscope.cli.progress import bar

if TYPE_CHECKING:
    from convscope.network.engine import EngineName
    from convscope.scanning.stored import Scan

_SHOWN = 10


def scan(
    source: Annotated[
        str,
        typer.Argument(
            metavar="PICTURES",
            help="A folder, a list or table of files (.txt, .csv, .tsv), Parquet, or an address such as s3://…",
        ),
    ],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The scan's folder; by default NAME.scan.")] = None,
    network: NetworkName = DEFAULT_NETWORK,
    layers: Annotated[
        list[str] | None,
        typer.Option("--layers", "-l", help="By default the ends of the stages; several with commas, or given again."),
    ] = None,
    k: Annotated[int | None, typer.Option("-k", min=1, help="How many pictures to keep of each channel: 9.")] = None,
    engine: Annotated[str, typer.Option(help="torch, onnx, or auto for the faster one.")] = "auto",
    workers: Annotated[
        int | None, typer.Option(min=0, help="How many processes read pictures; by default one a core.")
    ] = None,
    ray: Annotated[str | None, typer.Option(help="local, or the address of a Ray cluster.")] = None,
    weights: Weights = None,
    weights_key: WeightsKey = None,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Run a network over many pictures, and keep what its units answer.

    For each channel the pictures that it is strongest in, for each picture its codes. May be stopped at any time and
    goes on where it was; adds new pictures and layers to a scan that is there.

    patches, neighbours, map, mistakes and units show what is in it.
    """
    import convscope

    net = load_network(network, weights, weights_key, device)
    folder = out or Path(f"{Path(source.rstrip('/')).stem}.scan")
    with bar("scanning") as watcher:
        made = convscope.scan(
            net,
            source,
            layers=split(layers),
            out=folder,
            k=k,
            engine=cast("EngineName", engine),
            ray=ray,
            workers=workers,
            progress=watcher,
        )
    typer.echo(json.dumps(_described(made), indent=2, ensure_ascii=False) if as_json else _told(made))
    for each in [] if as_json else made.unreadable[:_SHOWN]:
        say(f"left out {each.path}: {each.reason}")
    if not as_json and len(made.unreadable) > _SHOWN:
        say(f"and {len(made.unreadable) - _SHOWN:,} more; --json lists them")


def _described(scan: "Scan") -> dict[str, object]:
    return {
        "scan": str(scan.path),
        "network": scan.header.network,
        "engine": scan.header.engine,
        "images": len(scan),
        "labelled": int((scan.images.classes >= 0).sum()),
        "removed": int(scan.images.removed.sum()),
        "layers": {layer.name: list(layer.shape) for layer in scan.layers.values()},
        "unreadable": [{"path": str(each.path), "reason": each.reason} for each in scan.unreadable],
    }


def _told(scan: "Scan") -> str:
    layers = ", ".join(f"{layer.name} ({layer.channels})" for layer in scan.layers.values())
    lines = [f"{scan.path}: {len(scan):,} pictures, by {scan.header.network} ({scan.header.engine})"]
    lines.append(f"layers and their channels: {layers}")
    if gone := int(scan.images.removed.sum()):
        lines.append(f"{gone:,} of the pictures are gone since")
    return "\n".join(lines)
