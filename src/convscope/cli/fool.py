"""`convscope fool`: pictures of nothing, or of something else, that a network is sure of."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from convscope.cli.making import Optimizer, Parameterization, Preview, Regularizers, Schedule, Seed, Steps, made, make
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
from convscope.errors import TargetError

if TYPE_CHECKING:
    from torch import Tensor

    from convscope.fooling.evolved import Evolved
    from convscope.fooling.fool import Fooled
    from convscope.network.network import Network

EVALUATIONS = 10_000


def fool(
    target: Annotated[list[str] | None, typer.Argument(metavar="[CLASS…]", help="A label or class:207.")] = None,
    random: Annotated[bool, typer.Option("--random", help="Any class but the one that it is taken for.")] = False,
    start: Annotated[str, typer.Option(help="noise, zero for grey, or a picture to start from.")] = "noise",
    probability: Annotated[float, typer.Option("--probability", "-p", help="To be reached.")] = 0.99,
    count: Annotated[int | None, typer.Option("--count", "-c", min=1, help="Images of each class.")] = None,
    beside: Annotated[bool, typer.Option("--beside", help="Show what it was before, and the difference.")] = False,
    evolve: Annotated[
        str | None,
        typer.Option(help="Without gradients: cppn for patterns, direct for pixels; of all classes by default."),
    ] = None,
    evaluations: Annotated[
        int | None, typer.Option(min=1, help=f"With --evolve: images to try; {EVALUATIONS:,} by default.")
    ] = None,
    steps: Steps = None,
    parameterization: Parameterization = None,
    regularizers: Regularizers = None,
    optimizer: Optimizer = None,
    schedule: Schedule = None,
    seed: Seed = 0,
    batch: Annotated[int | None, typer.Option(min=1, help="Images at once; with --evolve, of a generation.")] = None,
    network: NetworkName = DEFAULT_NETWORK,
    preview: Preview = None,
    weights: Weights = None,
    weights_key: WeightsKey = None,
    device: Device = "cpu",
    out: Out = None,
    as_json: Json = False,
) -> None:
    """How sure is it of nothing? Changes noise, grey or a photograph until the network takes it for a class.

    Writes the image; of several, a figure of all and each as a picture of its own.

    Any photograph as any class: convscope fool --random --start chelsea --beside

    Patterns found by evolution alone: convscope fool --evolve cppn --evaluations 2000
    """
    if random if evolve is not None else bool(target) == random:
        raise TargetError("say which class, or --random for any; with --evolve, classes, or none for all of them")
    if evaluations is not None and evolve is None:
        raise TargetError("--evaluations is for --evolve; take --steps otherwise")
    net = load_network(network, weights, weights_key, device)
    options: dict[str, Any]
    if evolve is not None:
        path = out or Path(f"evolved-{evolve.partition(':')[0]}.png")
        options = {"encoding": evolve, "evaluations": evaluations or EVALUATIONS, "seed": seed, "batch": batch}
        evolved = _evolved(net, target or None, options, path, preview, quiet=as_json)
        _tell_evolved(evolved, path, as_json=as_json)
        return
    begun = start in ("noise", "zero", "mean")
    options = {
        "target": target or "random", "start": start if begun else "image", "probability": probability, "count": count,
        "steps": steps, "parameterization": parameterization, "regularizers": regularizers, "optimizer": optimizer,
        "schedule": schedule, "seed": seed, "batch": batch,
    }  # fmt: skip
    given: list[Network | Tensor] = [net] if begun else [net, net.read(start)]
    path = out or file_name("fool.png", *(target or ["random"])[:3])
    result: Any = make("fool", given, options, label="fooling", out=path, preview=preview, quiet=as_json)
    if beside:
        result.save(path, beside=True)
    _tell(result, path, single=not beside, as_json=as_json)


def _evolved(
    network: "Network",
    classes: list[str] | None,
    options: dict[str, Any],
    out: Path,
    preview: Path | None,
    *,
    quiet: bool,
) -> "Evolved":
    from convscope.fooling.evolved import evolve

    told = {name: value for name, value in options.items() if value is not None}
    result: Any = made(
        lambda watcher: evolve(network, classes, progress=watcher, **told),
        label="evolving", out=out, preview=preview, quiet=quiet,
    )  # fmt: skip
    found: Evolved = result
    return found


def _tell_evolved(result: "Evolved", path: Path, *, as_json: bool) -> None:
    """The median, and the confidences of all classes for another program."""
    say(f"median probability over {len(result.classes)} classes: {result.median:.1%}")
    if as_json:
        told = [
            {"class": index, "label": label, "probability": probability}
            for index, label, probability in zip(
                result.classes, result.labels, result.probabilities.tolist(), strict=True
            )
        ]
        found = {"figure": str(path), "evaluations": result.evaluations, "median": result.median, "classes": told}
        typer.echo(json.dumps(found, ensure_ascii=False))


def _tell(result: "Fooled", path: Path, *, single: bool, as_json: bool) -> None:
    """Write the single images where the figure isn't one, and say what the network takes each for."""
    count = len(result.images)
    plain = single and count == 1
    files = [path] if plain else [path.with_stem(f"{path.stem}-{index + 1}") for index in range(count)]
    told = []
    for index, file in enumerate(files):
        if not plain:
            result.save(file, which=index)
            if not as_json:
                typer.echo(str(file))
        probability, steps = float(result.probabilities[index]), int(result.steps[index])
        reached = bool(result.fooled[index])
        end = f"in {steps} steps" if reached else f"which is too little after {steps} steps; take more of them"
        say(f"{result.before[index].label} → {result.targets[index]}: {probability:.2%}, {end}")
        told.append(
            {
                "target": result.targets[index],
                "probability": probability,
                "fooled": reached,
                "steps": steps,
                "before": result.before[index].label,
                "largest change": float(result.largest_changes[index]),
                "file": str(file),
            }
        )
    if as_json:
        typer.echo(json.dumps({"figure": str(path), "images": told}, ensure_ascii=False))
