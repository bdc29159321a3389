"""`convscope explain` and `convscope activations`: what in a picture drives a class, and what each channel answers."""

from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from convscope.cli.options import (
    DEFAULT_NETWORK,
    Device,
    NetworkName,
    Out,
    Picture,
    Weights,
    WeightsKey,
    file_name,
    load_network,
    say,
    write,
)


def activations(
    image: Picture,
    layer: Annotated[str, typer.Argument(help="Which layer; `convscope anatomy` lists them.")],
    network: NetworkName = DEFAULT_NETWORK,
    shared: Annotated[bool, typer.Option(help="One scale for all channels instead of each its own.")] = False,
    strongest: Annotated[int | None, typer.Option(min=1, help="Only so many channels, the strongest.")] = None,
    weights: Weights = None,
    weights_key: WeightsKey = None,
    device: Device = "cpu",
    out: Out = None,
) -> None:
    """What every channel of a layer answers to a picture, next to it."""
    from convscope.attribution.activations import activations as activate

    net = load_network(network, weights, weights_key, device)
    result = activate(net, net.read(image), layer)
    write(result, out or file_name(image, layer, "activations"), shared=shared, strongest=strongest)


def explain(
    image: Picture,
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            "-t",
            help="A label, class:207, 'class:207 - class:208', LAYER:CHANNEL@ROW,COLUMN, …; may be given again. "
            "By default the most probable class.",
        ),
    ] = None,
    rule: Annotated[
        list[str] | None, typer.Option(help="gradient, guided or deconvnet; may be given again; all by default.")
    ] = None,
    network: NetworkName = DEFAULT_NETWORK,
    smooth: Annotated[
        bool,
        typer.Option("--smooth", help="Let guided and deconvnet pass activations that are no rectifiers (SiLU, …)."),
    ] = False,
    style: Annotated[
        Literal["heatmap", "overlay", "beside", "colour"], typer.Option(help="How the maps are drawn.")
    ] = "heatmap",
    weights: Weights = None,
    weights_key: WeightsKey = None,
    device: Device = "cpu",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The figure; each map is written beside it.")] = None,
) -> None:
    """Saliency: which pixels a class, a unit or a difference depends on, by three backward rules.

    Writes one figure of all, and each map as a picture of its own.
    """  # fmt: skip
    from convscope.network.rules import RULES, Rule
    from convscope.plates.explanation import explanation

    net = load_network(network, weights, weights_key, device)
    prepared = net.read(image)
    targets = target
    best = None
    if not targets:
        best = net.predict(prepared, top=1)[0]
        targets = [f"class:{best.index}"]
    result = explanation(
        net, prepared, targets, rules=cast("list[Rule]", rule) or RULES, smooth="positive" if smooth else None
    )
    if best is not None:
        say(f"target: {best.label} ({best.probability:.1%})")
    figure = out or file_name(image, "explanation")
    write(result, figure, style=style)
    for row in result.maps:
        for each, name in zip(row, result.rules, strict=True):
            write(each, figure.parent / file_name(figure.name, each.target, name), style=style)
