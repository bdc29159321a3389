"""`convscope maximize`: images that a class, a channel or a unit answers to most."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from convscope.cli.making import (
    Grid,
    Optimizer,
    Parameterization,
    Preview,
    Regularizers,
    Schedule,
    Seed,
    Size,
    Steps,
    Transforms,
    make,
    size_of,
)
from convscope.cli.options import (
    DEFAULT_NETWORK,
    Device,
    Json,
    NetworkName,
    Out,
    Weights,
    WeightsKey,
    file_name,
    load_network,
    say,
)

if TYPE_CHECKING:
    from torch import Tensor

    from convscope.network.network import Network
    from convscope.synthesis.maximize import Maximized


def maximize(
    target: Annotated[
        list[str],
        typer.Argument(metavar="TARGET…", help="A label, class:207, LAYER, LAYER:CHANNEL, LAYER:CHANNEL@ROW,COLUMN."),
    ],
    network: NetworkName = DEFAULT_NETWORK,
    preset: Annotated[
        str,
        typer.Option(
            help="lucid: Fourier coefficients and transforms (Olah et al. 2017); simonyan: pixels from grey with L2 "
            "decay (2013); yosinski: pixels with decay and blur (2015); maco: phases alone (Fel et al. 2023)."
        ),
    ] = "lucid",
    count: Annotated[int, typer.Option("--count", "-c", min=1, help="Images of each target.")] = 1,
    start: Annotated[str | None, typer.Option(help="noise, zero for grey, or a picture to start from.")] = None,
    size: Size = None,
    diverse: Annotated[
        float, typer.Option(min=0, help="How much several images are to differ; 1: as much as the target counts.")
    ] = 0,
    steps: Steps = None,
    parameterization: Parameterization = None,
    transforms: Transforms = None,
    regularizers: Regularizers = None,
    optimizer: Optimizer = None,
    schedule: Schedule = None,
    views: Annotated[int | None, typer.Option(min=1, help="Transformed images that a step looks at.")] = None,
    seed: Seed = 0,
    batch: Annotated[int, typer.Option(min=1, help="Images at once.")] = 8,
    grid: Grid = None,
    preview: Preview = None,
    weights: Weights = None,
    weights_key: WeightsKey = None,
    device: Device = "cpu",
    out: Out = None,
    as_json: Json = False,
) -> None:
    """What would a class, a unit, a channel or a layer like to see? Makes the image that it answers to most.

    Writes the image; of several, a figure of all and each as a picture of its own. With --grid a sheet over a
    parameter.

    One unit under weaker and stronger regularizers, for what is network and what is prior:
    convscope maximize flamingo --preset yosinski --grid blur.sigma=0,0.5,1,2
    """
    net = load_network(network, weights, weights_key, device)
    begun = start in (None, "noise", "zero")
    options: dict[str, Any] = {
        "target": target if len(target) > 1 else target[0], "preset": preset, "count": count, "diverse": diverse,
        "start": start if begun else "image", "size": size_of(size), "steps": steps, "views": views,
        "parameterization": parameterization, "transforms": transforms, "regularizers": regularizers,
        "optimizer": optimizer, "schedule": schedule, "seed": seed, "batch": batch,
    }  # fmt: skip
    given: list[Network | Tensor] = [net]
    if not begun:
        given.append(net.read(str(start)))
    path = out or file_name("maximize.png", *target[:3])
    result = make("maximize", given, options, label="maximizing", out=path, grid=grid, preview=preview, quiet=as_json)
    if not grid:
        _tell(result, path, as_json=as_json)  # type: ignore[arg-type]


def _tell(result: "Maximized", path: Path, *, as_json: bool) -> None:
    """Write the single images of several, and say what the network answers to each."""
    count = len(result.images)
    files = [path] if count == 1 else [path.with_stem(f"{path.stem}-{index + 1}") for index in range(count)]
    for index, file in enumerate(files if count > 1 else []):
        result.save(file, which=index)
        if not as_json:
            typer.echo(str(file))
    told = []
    for file, target, score, probability in zip(
        files, result.targets, result.scores.tolist(), result.probabilities.tolist(), strict=True
    ):
        known = not math.isnan(probability)
        say(f"{target}: {score:.4g}" + (f", probability {probability:.1%}" if known else ""))
        told.append(
            {"target": target, "score": score, "probability": probability if known else None, "file": str(file)}
        )
    if as_json:
        typer.echo(json.dumps({"figure": str(path), "images": told}, ensure_ascii=False))
