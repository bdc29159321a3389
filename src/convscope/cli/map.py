"""`convscope map`: what looks alike to the network?"""

from pathlib import Path
from typing import Annotated

import typer

from convscope.cli.options import Device, Json, Weights, WeightsKey, file_name, load_network, say
from convscope.cli.progress import bar


def map_command(
    scan: Annotated[Path, typer.Argument(metavar="SCAN", help="The folder that `convscope scan` wrote.")],
    method: Annotated[str, typer.Option(help="t-sne, umap or pca.")] = "t-sne",
    layout: Annotated[str, typer.Option(help="scatter, or grid: each picture in a cell of its own.")] = "scatter",
    layer: Annotated[str | None, typer.Option(help="Whose codes; by default the last scanned.")] = None,
    colour: Annotated[str, typer.Option("--colour", "--color", help="label, prediction or none.")] = "label",
    perplexity: Annotated[float, typer.Option(help="About how many neighbours matter to a picture.")] = 30,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Fit so many pictures and place the others; by default 1,000,000.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of all that is left to chance.")] = 0,
    dots: Annotated[bool, typer.Option("--dots", help="A dot for each picture.")] = False,
    size: Annotated[int, typer.Option(min=64, help="Pixels of the longer side.")] = 2048,
    place: Annotated[
        list[str] | None, typer.Option(metavar="IMAGE", help="Show where this picture belongs; may be given again.")
    ] = None,
    tiles: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Write a page to zoom into, as well.")] = None,
    network: Annotated[
        str | None, typer.Option("--network", "-n", help="The scan's network, where its name alone doesn't load it.")
    ] = None,
    weights: Weights = None,
    weights_key: WeightsKey = None,
    device: Device = "cpu",
    as_json: Json = False,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where to write the map, as PNG.")] = None,
) -> None:
    """What looks alike to the network? Lays the pictures of a scan out, like ones near each other."""
    from convscope.scanning.map import map_of
    from convscope.scanning.projection import FITTED
    from convscope.scanning.stored import open_scan

    given = None if network is None else load_network(network, weights, weights_key, device)
    opened = open_scan(scan, given)
    others = [opened.network.read(each) for each in place or ()]
    with bar("laying out") as watcher:
        found = map_of(
            opened,
            method=method,  # type: ignore[arg-type]  # an unknown one is an error of its own
            layer=layer,
            layout=layout,  # type: ignore[arg-type]
            colour=None if colour == "none" else colour,  # type: ignore[arg-type]
            limit=limit or FITTED,
            seed=seed,
            perplexity=perplexity,
            progress=watcher,
        )
    positions = found.place(others).astype(float).round(4).tolist()
    marks = [[*position, Path(name).name] for position, name in zip(positions, place or (), strict=True)]
    if tiles is not None:
        with bar("drawing tiles") as watcher:
            found.tiles(tiles, progress=watcher)
        say(str(tiles / "index.html"))
    path = out or file_name(scan.name, "map", method)
    if out is not None or not as_json:
        found.save(path, **({"size": size, "dots": dots} | ({"marks": marks} if marks else {})))
    typer.echo(found.to_json(marks=marks) if as_json else str(path))
