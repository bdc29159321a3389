"""`convscope identified`: does a code give away which photograph it is of?"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from convscope.cli.making import Preview, Seed, Steps, made
from convscope.cli.options import (
    DEFAULT_NETWORK,
    Device,
    Json,
    NetworkName,
    Out,
    Weights,
    WeightsKey,
    load_network,
    say,
)

if TYPE_CHECKING:
    from convscope.plates.inversions import Identified


def identified(
    images: Annotated[list[str], typer.Argument(metavar="IMAGE…", help="Photographs, at least two.")],
    layer: Annotated[
        str | None, typer.Option("--layer", "-l", help="Whose code; by default the vector that the classifier reads.")
    ] = None,
    judge: Annotated[
        str | None, typer.Option(help="Another network that tells which is which; by default this one.")
    ] = None,
    judge_layer: Annotated[str | None, typer.Option(help="By which of its codes.")] = None,
    preset: Annotated[str | None, typer.Option(help="exact, natural or mahendran, as of `convscope invert`.")] = None,
    network: NetworkName = DEFAULT_NETWORK,
    steps: Steps = None,
    seed: Seed = 0,
    preview: Preview = None,
    weights: Weights = None,
    weights_key: WeightsKey = None,
    device: Device = "cpu",
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Does a code give away which photograph it is of? Inverts it, and picks the photograph most like the result.

    Nearest in pixels, and by a network's code; another network as --judge says whether the inversion shows something.
    """
    from convscope.plates.inversions import identified as identify

    net = load_network(network, weights, weights_key, device)
    teller = None if judge is None else load_network(judge, device=device)
    photographs = [net.read(each) for each in images]
    result = made(
        lambda watcher: identify(
            net, photographs, layer, judge=teller, judge_layer=judge_layer, preset=preset, steps=steps, seed=seed,
            progress=watcher,
        ),
        label="inverting", out=out or Path("identified.png"), preview=preview, quiet=as_json,
    )  # fmt: skip
    _tell(result, images, as_json=as_json)  # type: ignore[arg-type]


def _tell(result: "Identified", images: list[str], *, as_json: bool) -> None:
    """How often each judge was right, and whom it picked."""
    for name, rate in result.rates.items():
        say(f"{name}: {rate:.0%} right, by chance {1 / len(images):.0%}")
    if as_json:
        nearest = {name: [images[index] for index in found.tolist()] for name, found in result.nearest.items()}
        typer.echo(json.dumps({"images": images, "nearest": nearest, "rates": result.rates}, ensure_ascii=False))
