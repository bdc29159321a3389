"""`convscope hog`: a picture that looks otherwise and has the same descriptor."""

import json
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from convscope.cli.making import Preview, Seed, made
from convscope.cli.options import Json, Out, Picture, file_name, say

if TYPE_CHECKING:
    from torch import Tensor


def hog(
    image: Picture,
    start: Annotated[
        str, typer.Option("--start", "--like", help="What the twin is made of: another picture, or noise.")
    ] = "noise",
    other: Annotated[
        str | None, typer.Option(help="An unrelated picture to compare with; by default what it is made of.")
    ] = None,
    read: Annotated[int, typer.Option(min=1, help="Longer side at most of the picture as it is read.")] = 160,
    grey: Annotated[bool, typer.Option("--grey/--colour", help="Without colours, which is faster.")] = True,
    orientations: Annotated[int, typer.Option(min=1, help="How many parts of 180 degrees.")] = 9,
    cell: Annotated[int, typer.Option(min=1, help="Side of a cell in pixels.")] = 8,
    block: Annotated[int, typer.Option(min=1, help="Side of a block in cells.")] = 3,
    steps: Annotated[int, typer.Option(min=1, help="How many steps.")] = 2500,
    seed: Seed = 0,
    preview: Preview = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Two pictures, one HOG descriptor: a twin made of noise or of another picture.

    convscope hog chelsea --start coffee
    """
    from convscope.fooling.hog_twin import HogTwin, hog_twin
    from convscope.image.read import read_image

    given = read_image(image, read, channels=1 if grey else 3)
    begun: Tensor | Literal["noise"] = "noise" if start == "noise" else read_image(start)
    compared = None if other is None else read_image(other)
    path = out or file_name(image, "twin", start)
    result = made(
        lambda watcher: hog_twin(
            given, start=begun, other=compared, orientations=orientations, cell=cell, block=block, steps=steps,
            seed=seed, progress=watcher,
        ),
        label="hog", out=path, preview=preview, quiet=as_json,
    )  # fmt: skip
    twin = cast(HogTwin, result)
    say(twin.caption)
    if as_json:
        told = {"distance": twin.distance, "unrelated": twin.apart, "share": twin.share,
                "correlation": twin.likeness, "figure": str(path)}  # fmt: skip
        typer.echo(json.dumps(told, ensure_ascii=False))
