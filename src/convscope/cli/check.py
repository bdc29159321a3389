"""`convscope check`: is a network fed as it was trained?"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from convscope.cli.options import Device, Json, Weights, WeightsKey, load_network

_BAR = 30


def check(
    network: Annotated[
        str, typer.Argument(metavar="NETWORK", help="By name, or its net.toml; `convscope networks` lists them.")
    ],
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER", help="Photographs; with classes, by a list, WordNet ids or folders' names, it sees more."
        ),
    ],
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many photographs, drawn by --seed.")] = None,
    seed: Annotated[int, typer.Option(help="Which photographs are drawn, and which are tried first.")] = 0,
    weights: Weights = None,
    weights_key: WeightsKey = None,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Is a network fed as it was trained? Compares other ways to feed it, on photographs.

    Tries scalings, RGB and BGR, crops, interpolations and orders of labels, and says which fits by how much, and what
    to put into net.toml.
    """
    from convscope.plates.checking.check import check as compare

    net = load_network(network, weights, weights_key, device)
    result = compare(net, folder, limit=limit, seed=seed, on_progress=_draw)
    _clear()
    typer.echo(result.to_json() if as_json else str(result))


def _draw(done: int, total: int) -> None:
    if sys.stderr.isatty():
        filled = round(_BAR * done / total)
        typer.echo(f"\r{'█' * filled}{'░' * (_BAR - filled)} {done / total:4.0%}", err=True, nl=False)


def _clear() -> None:
    if sys.stderr.isatty():
        typer.echo("\r\033[K", err=True, nl=False)
