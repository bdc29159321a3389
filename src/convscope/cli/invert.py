"""`convscope invert`: what a layer has kept of a photograph."""

import json
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
    Steps,
    Transforms,
    make,
)
from convscope.cli.options import (
    DEFAULT_NETWORK,
    Device,
    Json,
    NetworkName,
    Out,
    Picture,
    Weights,
    WeightsKey,
    file_name,
    load_network,
    say,
    split,
)
from convscope.errors import ConvscopeError

if TYPE_CHECKING:
    from torch import Tensor

    from convscope.network.network import Network
    from convscope.plates.inversions import Inversions
    from convscope.synthesis.invert import Inversion


def invert(
    image: Picture,
    layer: Annotated[
        list[str] | None,
        typer.Option("--layer", "-l", help="By default the vector that the classifier reads; several for a plate."),
    ] = None,
    every: Annotated[
        bool, typer.Option("--every", help="A plate of all stages, from shallow to deep, with both errors over depth.")
    ] = False,
    network: NetworkName = DEFAULT_NETWORK,
    preset: Annotated[
        str | None,
        typer.Option(
            help="exact: a pyramid by L-BFGS; natural: Fourier coefficients under transforms, for deep layers; "
            "mahendran: pixels, as published in 2015. By default by the layer."
        ),
    ] = None,
    count: Annotated[int, typer.Option("--count", "-c", min=1, help="Images, from different random numbers.")] = 1,
    start: Annotated[str, typer.Option(help="noise, zero for grey, or a picture to start from.")] = "noise",
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
    """What has a layer kept of a photograph? Makes an image with the same code from noise.

    Says how far the code is from the photograph's, relative to it, and how the pixels correlate.

    The same under a weaker and stronger prior: convscope invert coffee -l blocks.10 --grid tv.weight=0,1,10,100
    """
    net = load_network(network, weights, weights_key, device)
    layers = split(layer)
    begun = start in ("noise", "zero")
    given: list[Network | Tensor] = [net, net.read(image)]
    options: dict[str, Any] = {"preset": preset, "regularizers": regularizers, "steps": steps, "seed": seed}
    others: dict[str, Any] = {
        "parameterization": parameterization, "transforms": transforms, "optimizer": optimizer, "schedule": schedule,
        "views": views,
    }  # fmt: skip
    plate = every or (layers is not None and len(layers) > 1)
    if plate:
        _no_other(start, count, grid, others)
        options["layers"] = layers
    else:
        options |= {**others, "layer": layers[0] if layers else None, "count": count, "batch": batch}
        options["start"] = start if begun else "image"
        given += [] if begun else [net.read(start)]
    path = out or file_name(image, *(layers or []), "inversions" if plate else "inverted")
    method = "inversions" if plate else "invert"
    result = make(method, given, options, label="inverting", out=path, grid=grid, preview=preview, quiet=as_json)
    if not grid:
        _tell(result, path, as_json=as_json)  # type: ignore[arg-type]


def _no_other(start: str, count: int, grid: list[str] | None, others: dict[str, Any]) -> None:
    """Raise for what a plate doesn't take."""
    asked = [name for name, value in others.items() if value is not None]
    asked += [name for name, value in (("start", start != "noise"), ("count", count > 1), ("grid", grid)) if value]
    if asked:
        told = ", ".join(f"--{each}" for each in asked)
        raise ConvscopeError(f"a plate of several layers takes no {told}; invert one layer at a time with these")


def _tell(result: "Inversion | Inversions", path: Path, *, as_json: bool) -> None:
    """The measures of each image."""
    from convscope.plates.inversions import Inversions

    made = result.inversions if isinstance(result, Inversions) else [result]
    told = [
        {"layer": one.layer, "code_error": code, "pixel_error": pixel, "correlation": shared}
        for one in made
        for code, pixel, shared in zip(
            one.code_errors.tolist(), one.pixel_errors.tolist(), one.correlations.tolist(), strict=True
        )
    ]
    for each in told:
        layer, code, shared = each["layer"], each["code_error"], each["correlation"]
        say(f"{layer}: code error {code:.3f}, correlation with the photograph {shared:.3f}")
    if as_json:
        # An even image has no correlation, and JSON no NaN.
        known = [{name: None if value != value else value for name, value in each.items()} for each in told]
        typer.echo(json.dumps({"figure": str(path), "images": known}, ensure_ascii=False))
