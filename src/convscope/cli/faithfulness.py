"""`convscope faithfulness`: which methods can be believed on this network?"""

from pathlib import Path
from typing import Annotated

import typer

from convscope.cli.options import (
    DEFAULT_NETWORK,
    METHODS,
    Device,
    Json,
    NetworkName,
    Weights,
    WeightsKey,
    load_network,
    split,
)
from convscope.cli.progress import bar


def faithfulness(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Photographs to explain.")],
    method: Annotated[
        list[str] | None,
        typer.Option("--method", "-m", help=f"{METHODS} By default all that the network allows."),
    ] = None,
    network: NetworkName = DEFAULT_NETWORK,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many photographs, drawn by --seed.")] = None,
    verdict: Annotated[bool, typer.Option(help="Judge each map, too, which takes four more of it.")] = True,
    seed: Annotated[int, typer.Option(help="Of all that is left to chance.")] = 0,
    weights: Weights = None,
    weights_key: WeightsKey = None,
    device: Device = "cpu",
    as_json: Json = False,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where to write the curves, as PNG.")] = None,
) -> None:
    """Which methods can be believed? Compares them on a folder of photographs.

    Takes away the pixels that each map calls important and puts them back, and compares with random order; says of how
    many maps a verdict holds, and how long a map takes.
    """
    from convscope.plates.faithfulness_table import faithfulness_table

    net = load_network(network, weights, weights_key, device)
    with bar("testing") as watcher:
        result = faithfulness_table(
            net, folder, methods=split(method), limit=limit, verdicts=verdict, seed=seed, progress=watcher
        )
    if out is not None:
        result.save(out)
    typer.echo(result.to_json() if as_json else str(result))
