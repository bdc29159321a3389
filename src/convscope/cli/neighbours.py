"""`convscope neighbours`: which pictures of a scan are most like an image?"""

import json
from pathlib import Path
from typing import Annotated

import typer

from convscope.cli.options import Device, Json, Weights, WeightsKey, file_name, load_network


def neighbours(
    scan: Annotated[Path, typer.Argument(metavar="SCAN", help="The folder that `convscope scan` wrote.")],
    images: Annotated[
        list[str],
        typer.Argument(metavar="IMAGE...", help="Picture files, bundled photographs, or ids of pictures of the scan."),
    ],
    layer: Annotated[
        str | None, typer.Option(help="Whose codes are compared; by default the last scanned before the logits.")
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many.")] = 6,
    metric: Annotated[str, typer.Option(help="cosine or l2.")] = "cosine",
    pixels: Annotated[bool, typer.Option(help="Show the nearest by pixels, too.")] = True,
    itself: Annotated[bool, typer.Option("--with-itself", help="Don't leave out the picture itself.")] = False,
    network: Annotated[
        str | None, typer.Option("--network", "-n", help="The scan's network, where its name alone doesn't load it.")
    ] = None,
    weights: Weights = None,
    weights_key: WeightsKey = None,
    device: Device = "cpu",
    as_json: Json = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A PNG to write; of several images the folder for them.")
    ] = None,
) -> None:
    """Which pictures of a scan does the network take to be most like an image? And which are in their pixels?

    With --json, one JSON object an image, each on its line.
    """
    from convscope.scanning.neighbours import neighbours
    from convscope.scanning.search import check_metric
    from convscope.scanning.stored import open_scan

    given = None if network is None else load_network(network, weights, weights_key, device)
    found = neighbours(
        open_scan(scan, given),
        [_asked(each) for each in images],
        k=k,
        layer=layer,
        metric=check_metric(metric),
        pixels=pixels,
        exclude_itself=not itself,
    )
    for image, each in zip(images, found, strict=True):
        typer.echo(json.dumps(each.to_json(), ensure_ascii=False) if as_json else str(each))
        if out is not None and len(images) == 1:
            each.save(out)
        elif out is not None:
            out.mkdir(parents=True, exist_ok=True)
            each.save(out / file_name(image, "neighbours"))


def _asked(image: str) -> str | int:
    """A number is an id, unless a file is called so."""
    return int(image) if image.isdecimal() and not Path(image).exists() else image
