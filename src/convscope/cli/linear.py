"""`convscope linear`: why little is enough, by ten numbers and by a linear classifier of pixels."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from convscope.cli.making import Seed
from convscope.cli.options import Json, Out, file_name, say
from convscope.cli.progress import bar
from convscope.errors import ConvscopeError, ImageError

if TYPE_CHECKING:
    from convscope.fooling.linear_classifier import LinearClassifier
    from convscope.render.result import Pictured


def linear(
    folder: Annotated[
        str | None,
        typer.Argument(metavar="[FOLDER]", help="A folder with a folder of pictures for each class, or digits."),
    ] = None,
    example: Annotated[bool, typer.Option("--example", help="The ten numbers: 5% becomes 88%.")] = False,
    regularization: Annotated[
        list[float] | None,
        typer.Option("--regularization", "-r", help="1e-5 is weak, 0.1 strong; given again, they are compared."),
    ] = None,
    size: Annotated[int, typer.Option(min=1, help="Rows and columns that pictures are brought to.")] = 64,
    grey: Annotated[bool, typer.Option("--grey", help="Pictures without their colours.")] = False,
    held_out: Annotated[float, typer.Option(help="The part of the pictures that is kept for testing.")] = 0.2,
    add: Annotated[str | None, typer.Option(help="The class whose template is added.")] = None,
    to: Annotated[str, typer.Option(help="What to: a picture, or noise.")] = "noise",
    strength: Annotated[
        float | None,
        typer.Option(help="The largest change of a pixel, 0 to 1; by default the least that gives 99%."),
    ] = None,
    direction: Annotated[str, typer.Option(help="template, or sign: only the signs of its numbers.")] = "template",
    seed: Seed = 0,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Why little is enough: a linear classifier, its templates, and what adding one does.

    convscope linear --example --out linear.html
    convscope linear digits --add 3
    convscope linear photographs/ --add goldfish --to fox.jpg -r 1e-5 -r 1e-3 -r 0.1
    """
    if example == (folder is not None):
        raise ConvscopeError("expected either a folder of class folders (or digits), or --example")
    if folder is None:
        _example(out, as_json)
        return
    options: dict[str, Any] = {"size": size, "channels": 1 if grey else 3, "held_out": held_out, "seed": seed}
    picture = None if to == "noise" else _read(to)
    if regularization and len(regularization) > 1:
        options |= {"strength": strength, "direction": direction}
        _compared(folder, add, "noise" if picture is None else picture, regularization, options, out, as_json)
        return
    classifier = _trained(folder, regularization, options)
    result: Pictured = classifier
    told: dict[str, Any] = {"accuracy": classifier.accuracy, "held_out": classifier.held_out}
    name = file_name(folder, "templates")
    if add is not None:
        from convscope.fooling.add_template import add_template

        added = add_template(
            classifier,
            add,
            "noise" if picture is None else picture,
            strength=strength,
            direction=cast(Any, direction),
            seed=seed,
        )
        say(added.caption)
        result, name = added, file_name(to, add, "added")
        told |= {
            "class": added.label, "before": added.probability_before, "after": added.probability_after,
            "largest_change": added.largest_change, "success": added.success,
        }  # fmt: skip
    _write(result, out or name, told, as_json)


def _example(out: Path | None, as_json: bool) -> None:
    from convscope.fooling.linear_example import linear_example

    result = linear_example()
    if as_json:
        told = {"scores": [result.score, result.changed_score],
                "probabilities": [result.probability, result.changed_probability],
                "steps": {str(each.dimensions): each.step for each in result.needed()}}  # fmt: skip
        typer.echo(json.dumps(told))
    else:
        for line in result.lines:
            typer.echo(line)
        for each in result.needed():
            typer.echo(f"{each.dimensions:,} numbers: a step of {each.step:.3g} does as much")
    if out is None:
        return
    if out.suffix.lower() in (".html", ".htm"):
        from convscope.plates.linear_page import linear_page

        linear_page(result).save(out)
    else:
        result.save(out)
    if not as_json:
        typer.echo(str(out))


def _read(to: str) -> Any:
    from convscope.image.read import read_image

    return read_image(to)


def _trained(folder: str, regularization: list[float] | None, options: dict[str, Any]) -> "LinearClassifier":
    from convscope.fooling.linear_classifier import linear_classifier

    given: dict[str, Any] = {"regularization": regularization[0]} if regularization else {}
    with bar("training") as watcher:
        classifier = linear_classifier(folder, **given, **options, progress=watcher)
    for each in classifier.unreadable:
        say(f"passed over {each.path.name}: {each.reason}")
    say(classifier.caption)
    return classifier


def _compared(
    folder: str,
    add: str | None,
    to: Any,
    regularizations: list[float],
    options: dict[str, Any],
    out: Path | None,
    as_json: bool,
) -> None:
    from convscope.fooling.compare_regularization import compare_regularization

    if add is None:
        raise ConvscopeError(
            "several --regularization are compared by what a template does; say which with --add CLASS"
        )
    with bar("training") as watcher:
        result = compare_regularization(folder, add, to, regularizations=regularizations, **options, progress=watcher)
    for line in result.lines:
        say(line)
    told = {
        "compared": [
            {"regularization": classifier.regularization, "held_out": classifier.held_out,
             "before": added.probability_before, "after": added.probability_after,
             "largest_change": added.largest_change}
            for classifier, added in zip(result.classifiers, result.added, strict=True)
        ]
    }  # fmt: skip
    _write(result, out or file_name(folder, add, "compared"), told, as_json)


def _write(result: "Pictured", path: Path, told: dict[str, Any], as_json: bool) -> None:
    if path.suffix.lower() != ".png":
        raise ImageError(f"can't write {str(path)!r}: expected a name ending in .png, which carries the recipe")
    result.save(path)
    typer.echo(json.dumps({**told, "figure": str(path)}, ensure_ascii=False) if as_json else str(path))
