"""`convscope explain` and `convscope activations`: what in a picture drives a class, and what each channel answers."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from convscope.cli.options import (
    DEFAULT_NETWORK,
    METHODS,
    Device,
    Json,
    NetworkName,
    Out,
    Picture,
    Weights,
    WeightsKey,
    file_name,
    likeliest,
    load_network,
    say,
    split,
    write,
)
from convscope.cli.progress import bar

if TYPE_CHECKING:
    from convscope.attribution.attribution import Attribution
    from convscope.attribution.occluder import Fill
    from convscope.attribution.verdict import Verdict
    from convscope.plates.explanation import Explanation


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
    method: Annotated[
        list[str] | None,
        typer.Option("--method", "-m", help=f"{METHODS} By default saliency, guided, grad-cam and occlusion."),
    ] = None,
    network: NetworkName = DEFAULT_NETWORK,
    smooth: Annotated[
        bool,
        typer.Option("--smooth", help="Let guided and deconvnet pass activations that are no rectifiers (SiLU, …)."),
    ] = False,
    style: Annotated[
        Literal["heatmap", "overlay", "beside", "colour"] | None,
        typer.Option(help="How the maps are drawn; by default those of places as an overlay, others as a heatmap."),
    ] = None,
    window: Annotated[
        int | None, typer.Option(min=1, help="Side of the occluder in pixels; by default a seventh of the image's.")
    ] = None,
    stride: Annotated[
        int | None, typer.Option(min=1, help="Pixels from one of its places to the next; by default half of it.")
    ] = None,
    fill: Annotated[str, typer.Option(help="What it covers with: gray, mean, zero, or a number from 0 to 1.")] = "gray",
    layer: Annotated[str | None, typer.Option(help="Of class activation maps; by default the last with space.")] = None,
    verdict: Annotated[
        bool, typer.Option(help="Test each map, and say whether it holds. Takes a few times as long as the maps.")
    ] = True,
    weights: Weights = None,
    weights_key: WeightsKey = None,
    device: Device = "cpu",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The figure; each map is written beside it.")] = None,
    as_json: Json = False,
) -> None:
    """Where in a picture an answer comes from, and whether that can be believed.

    Maps of each target by each method. Writes one figure of all, and each map as a picture of its own, of occlusion
    also the probability with the window at each place. Says of each map whether it holds: whether the answer rests on
    the places it shows, whether it is this network's, and whether it lasts under a little noise.

    With --json, one JSON object: the targets with their scores, and of each map its range, verdict and files.
    """
    from convscope.plates.explanation import explanation

    net = load_network(network, weights, weights_key, device)
    prepared = net.read(image)
    targets = target or [likeliest(net, prepared)]
    with bar("explaining") as watcher:
        result = explanation(
            net, prepared, targets, methods=split(method), smooth="positive" if smooth else None, layer=layer,
            window=window, stride=stride, fill=_number(fill), verdicts=verdict, progress=watcher,
        )  # fmt: skip
    for line in result.left_out:
        say(line)
    figure = out or file_name(image, "explanation")
    result.save(figure, **({} if style is None else {"style": style}))
    files = [
        [_save(each, figure.parent / file_name(figure.name, each.target, name), style) for name, each in row]
        for row in (zip(result.methods, maps, strict=True) for maps in result.maps)
    ]
    if as_json:
        scores = [float(net.score(prepared, each)) for each in targets]
        told = {"image": image, "network": net.name, "figure": str(figure), "left_out": result.left_out}
        typer.echo(json.dumps({**told, "targets": _targets(result, scores, files)}, ensure_ascii=False))
        return
    typer.echo(str(figure))
    for label, *row in zip(result.labels, result.maps, result.verdicts, files, strict=True):
        for name, each, judged, paths in zip(result.methods, *row, strict=True):
            for path in paths:
                typer.echo(str(path))
            if judged is not None:
                say(f"{label}, {name}: {judged}")
            if each.note:
                say(f"{label}, {name}: {each.note}")


def _targets(result: "Explanation", scores: list[float], files: list[list[list[Path]]]) -> list[dict[str, object]]:
    """Each target with its score and its maps, for another program."""
    return [
        {
            "target": maps[0].target,
            "label": label,
            "score": score,
            "maps": [_told(*each) for each in zip(result.methods, maps, verdicts, paths, strict=True)],
        }
        for label, score, maps, verdicts, paths in zip(
            result.labels, scores, result.maps, result.verdicts, files, strict=True
        )
    ]


def _save(attribution: "Attribution", path: Path, style: str | None) -> list[Path]:
    """Write a map, and of occlusion the probability beside it: where they are."""
    from convscope.attribution.occlusion import Occlusion
    from convscope.plates.explanation import usual_style

    attribution.save(path, style=style or usual_style(attribution))
    if not (isinstance(attribution, Occlusion) and attribution.probabilities is not None):
        return [path]
    probability = path.with_stem(f"{path.stem}-probability")
    attribution.save(probability, style="probability")
    return [path, probability]


def _told(method: str, attribution: "Attribution", judged: "Verdict | None", files: list[Path]) -> dict[str, object]:
    """A map for another program."""
    return {
        "method": method,
        "unit": attribution.unit,
        "least": float(attribution.values.min()),
        "largest": float(attribution.values.max()),
        "verdict": None if judged is None else judged.to_dict(),
        "note": attribution.note,
        "files": [str(path) for path in files],
    }


def _number(fill: str) -> "Fill | float":
    """A fill's name, or the number that is one."""
    try:
        return float(fill)
    except ValueError:
        return cast("Fill", fill)
