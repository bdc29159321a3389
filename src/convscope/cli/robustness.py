"""`convscope robustness`: how right is a network still when its pictures are changed a little?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from convscope.cli.options import (
    DEFAULT_NETWORK,
    Device,
    Json,
    NetworkName,
    Weights,
    WeightsKey,
    load_network,
    split,
)
from convscope.cli.progress import bar
from convscope.errors import ConvscopeError

if TYPE_CHECKING:
    from convscope.fooling.defences.defences import Defences
    from convscope.fooling.robustness import Robustness


def robustness(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="FOLDER", help="Folders of pictures, one a class; or a folder or file with a list of classes."
        ),
    ] = None,
    network: NetworkName = DEFAULT_NETWORK,
    epsilon: Annotated[
        list[str] | None,
        typer.Option("--epsilon", "-e", help="How far pixels in [0, 1] may go, with commas: 1/255,2/255,0.1."),
    ] = None,
    attack: Annotated[
        list[str] | None,
        typer.Option("--attack", "-a", help="fgsm, bim, pgd; several with commas. [default: fgsm,pgd]"),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Of BIM and PGD.")] = 20,
    norm: Annotated[str, typer.Option(help="linf: each value by itself; l2: the length of the whole change.")] = "linf",
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many pictures, drawn by --seed.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Pictures that are attacked together.")] = 8,
    seed: Annotated[int, typer.Option(help="Of all that is left to chance.")] = 0,
    digits: Annotated[
        bool, typer.Option("--digits", help="Compare defences instead, on networks of digits trained here and now.")
    ] = False,
    weights: Weights = None,
    weights_key: WeightsKey = None,
    device: Device = "cpu",
    as_json: Json = False,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where to write the curves, as PNG.")] = None,
) -> None:
    """How right is it still when pictures are changed a little? Accuracy against epsilon.

    With --digits: what adversarial training, a class for all else, radial and saturating units and more classes help,
    and what they cost.
    """
    from convscope.fooling.ball import Norm
    from convscope.fooling.defences.defences import defences
    from convscope.fooling.robustness import robustness as measure

    epsilons = None if (given := split(epsilon)) is None else [_number(each) for each in given]
    result: Defences | Robustness
    if digits:
        if folder is not None:
            raise ConvscopeError(
                f"got {str(folder)!r} beside --digits, which has its own pictures; give one or the other"
            )
        own: dict[str, Any] = {} if epsilons is None else {"epsilons": [each for each in epsilons if each]}
        if limit is not None:
            own["images"] = limit
        with bar("training") as watcher:
            result = defences(steps=steps, seed=seed, progress=watcher, **own)
    elif folder is None:
        raise ConvscopeError("got no FOLDER; expected folders of pictures, one a class, or --digits")
    else:
        net = load_network(network, weights, weights_key, device)
        kind: Norm = norm  # type: ignore[assignment]  # checked there
        with bar("attacking") as watcher:
            result = measure(
                net, folder, epsilons=epsilons, attacks=split(attack) or ("fgsm", "pgd"), steps=steps, norm=kind,
                limit=limit, batch=batch, seed=seed, progress=watcher,
            )  # fmt: skip
    if out is not None:
        result.save(out)
    typer.echo(result.to_json() if as_json else str(result))


def _number(text: str) -> float:
    """
    >>> _number("0.5/255") == 0.5 / 255, _number("0.1")
    (True, 0.1)
    """
    over, _, under = text.partition("/")
    try:
        return float(over) / float(under or 1)
    except (ValueError, ZeroDivisionError):
        raise ConvscopeError(f"can't understand the epsilon {text!r}; expected a number or a fraction: 2/255") from None
