"""`convscope units`: what do the channels of a layer usually do?"""

from pathlib import Path
from typing import Annotated, get_args

import typer

from convscope.cli.options import Device, Json, Weights, WeightsKey, load_network


def units(
    scan: Annotated[Path, typer.Argument(metavar="SCAN", help="The folder that `convscope scan` wrote.")],
    layer: Annotated[str, typer.Argument(metavar="LAYER", help="A layer that was scanned.")],
    sort: Annotated[
        str, typer.Option(help="channel, mean, spread, largest, share (above 0) or selectivity.")
    ] = "channel",
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many, in that order.")] = None,
    channel: Annotated[
        list[int] | None, typer.Option("--channel", "-c", help="Of these the picture shows histograms; several by -c.")
    ] = None,
    network: Annotated[
        str | None, typer.Option("--network", "-n", help="The scan's network, where its name alone doesn't load it.")
    ] = None,
    weights: Weights = None,
    weights_key: WeightsKey = None,
    device: Device = "cpu",
    as_json: Json = False,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="A PNG of histograms to write.")] = None,
) -> None:
    """What do the channels of a layer usually do? Their mean, spread and histogram, the class they prefer, the dead."""
    from convscope.errors import ConvscopeError, nearest
    from convscope.scanning.stored import open_scan
    from convscope.scanning.units import Column, units

    if sort not in get_args(Column):
        raise ConvscopeError(f"can't sort by {sort!r}; {nearest(sort, get_args(Column))}")
    given = None if network is None else load_network(network, weights, weights_key, device)
    found = units(open_scan(scan, given), layer)
    order: Column = sort  # type: ignore[assignment]  # checked above
    if out is not None:
        found.save(out, channels=channel, sort=order, limit=limit or 24)
    typer.echo(found.to_json() if as_json else found.table(sort=order, limit=limit))
