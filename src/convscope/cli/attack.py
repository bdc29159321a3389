"""`convscope attack`: how little changes a network's mind."""

import json
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from convscope.cli.making import Preview, Steps, made
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
from convscope.errors import ConvscopeError, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from convscope.fooling.adversarial import Adversarial
    from convscope.fooling.adversarial_patch import AdversarialPatch
    from convscope.network.network import Network

_METHODS = (
    "fgsm, bim, pgd; deep-fool, carlini-wagner, box-lbfgs, which look for the smallest change; targeted-gradient; "
    "universal and adversarial-patch, which take several pictures or a folder"
)
_OF_MANY = ("universal", "adversarial_patch")


def attack(
    image: Annotated[
        list[str], typer.Argument(metavar="IMAGE…", help="Picture files, a folder, or bundled photographs: chelsea, …")
    ],
    method: Annotated[str, typer.Option("--method", "-m", help=_METHODS + ".")] = "pgd",
    target: Annotated[
        str | None,
        typer.Option("--target", "-t", help="The class it is to become: a label or class:9. Without it any other."),
    ] = None,
    epsilon: Annotated[
        str | None, typer.Option(help="How far any value may go, or by l2 all together: 2/255, 0.01.")
    ] = None,
    norm: Annotated[str | None, typer.Option(help="linf: each value by itself; l2: all together.")] = None,
    steps: Steps = None,
    step: Annotated[str | None, typer.Option(help="The length of a step of bim and pgd: 0.25/255.")] = None,
    label: Annotated[
        str | None, typer.Option(help="The class to be led away from; by default the one that is answered.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the random numbers, where there are any.")] = None,
    network: NetworkName = DEFAULT_NETWORK,
    weights: Weights = None,
    weights_key: WeightsKey = None,
    device: Device = "cpu",
    figure: Annotated[
        bool, typer.Option(help="Also write a figure: before, after, and the difference magnified.")
    ] = True,
    preview: Preview = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """A picture changed so little that nobody sees it, and another answer of the network.

    Writes the picture as an 8-bit PNG, of several each by itself, and a figure that shows it beside what it was. What
    is said of it is what the network answers to that file.
    """
    from convscope.plates.attacks import METHODS

    name = method.replace("-", "_")
    if name not in METHODS:
        raise ConvscopeError(f"no attack {method!r}; {nearest(name, METHODS)}".replace("_", "-"))
    given = {
        "target": target, "epsilon": _number("epsilon", epsilon), "norm": norm, "steps": steps,
        "step": _number("step", step),
        "label": label, "seed": seed,
    }  # fmt: skip
    options = {key: value for key, value in given.items() if value is not None}
    if unknown := sorted(options.keys() - set(METHODS[name].options)):
        raise ConvscopeError(f"{method} takes no {', '.join(f'--{each}' for each in unknown)}; leave it out")
    if target is None and name in ("targeted_gradient", "adversarial_patch"):
        raise ConvscopeError(f"{method} needs the class it is to lead to; give --target LABEL")
    net = load_network(network, weights, weights_key, device)
    read = _read(net, image)
    path = out or file_name(image[0] if len(image) == 1 else "several", target or "", method)
    result: Any = made(
        lambda watcher: METHODS[name]([net], read, {**options, "progress": watcher}),
        label="attacking", out=path, preview=preview, quiet=True,
    )  # fmt: skip
    if name == "adversarial_patch":
        _tell_patch(result, path, figure=figure, as_json=as_json)
    else:
        _tell(result, path, figure=figure, as_json=as_json)


def _read(network: "Network", places: list[str]) -> "Sequence[Tensor]":
    """The pictures, of a folder all that can be read."""
    from convscope.image.sources import read_folder

    files: list[str | Path] = []
    for place in places:
        files += [each.path for each in read_folder(place).photographs] if Path(place).is_dir() else [place]
    if not files:
        raise ConvscopeError(f"found no pictures in {places[0]!r}; expected a folder with some")
    return [network.read(each) for each in files]


def _number(option: str, text: str | None) -> float | None:
    """A number or a fraction, where there is one.

    >>> _number("epsilon", "2/255") == 2 / 255, _number("epsilon", "0.5"), _number("epsilon", None)
    (True, 0.5, None)
    """
    try:
        # A number may be 0.25/255, which is no fraction of whole ones.
        above, _, below = (text or "").replace(" ", "").partition("/")
        return None if text is None else float(Fraction(above) / Fraction(below or 1))
    except (ValueError, ZeroDivisionError):
        raise ConvscopeError(f"can't understand --{option} {text!r}; expected a number such as 2/255 or 0.01") from None


def _tell(result: "Adversarial", path: Path, *, figure: bool, as_json: bool) -> None:
    """What each has become."""
    from convscope.fooling.adversarial import told

    count = len(result.images)
    files = [path] if count == 1 else [path.with_stem(f"{path.stem}-{number}") for number in range(count)]
    for number, file in enumerate(files if count > 1 else []):
        result.save(file, which=number)
    figures = [path.with_stem(f"{path.stem}-figure")] if figure else []
    for each in figures:
        result.save(each, figure=True)
    norms = result.norms
    for number, (before, after) in enumerate(zip(result.before, result.after, strict=True)):
        largest, length = 255 * float(norms.linf[number]), float(norms.relative[number])
        outcome = "" if result.successes[number] else "; not what was wanted"
        say(f"{told(before)} -> {told(after)}{outcome} (at most {largest:.1f} of 255, {length:.2%} in length)")
    if not as_json:
        for each in [*([path] if count > 1 else []), *files, *figures]:
            typer.echo(str(each))
        return
    images = [
        {
            "file": str(file),
            "success": bool(result.successes[number]),
            "before": [vars(each) for each in result.before[number]],
            "after": [vars(each) for each in result.after[number]],
            "l2": float(norms.l2[number]),
            "linf": float(norms.linf[number]),
            "relative": float(norms.relative[number]),
            "queries": int(result.queries[number]),
            "gradients": int(result.gradients[number]),
        }
        for number, file in enumerate(files)
    ]
    typer.echo(json.dumps({"figure": str(figures[0]) if figures else None, "images": images}, ensure_ascii=False))


def _tell_patch(result: "AdversarialPatch", path: Path, *, figure: bool, as_json: bool) -> None:
    """How often the patch succeeded."""
    figures = [path.with_stem(f"{path.stem}-figure")] if figure else []
    for each in figures:
        result.save(each, figure=True)
    say(f"{result.target}: {int(result.successes.sum())} of {len(result.successes)} tries at other places")
    if as_json:
        told = {"file": str(path), "figure": str(figures[0]) if figures else None, "rate": result.rate}
        typer.echo(json.dumps(told, ensure_ascii=False))
    else:
        for each in [path, *figures]:
            typer.echo(str(each))
