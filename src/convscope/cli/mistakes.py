"""`convscope mistakes`: where are a network's answers not the labels of a scan?"""

from pathlib import Path
from typing import Annotated

import typer

from convscope.cli.options import Json


def mistakes(
    scan: Annotated[Path, typer.Argument(metavar="SCAN", help="The folder that `convscope scan` wrote.")],
    limit: Annotated[int, typer.Option(min=0, help="How many of the most confident mistakes.")] = 24,
    like: Annotated[int, typer.Option(min=0, help="How many right answers beside each, of either class.")] = 3,
    as_json: Json = False,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="A PNG to write: confusions and mistakes.")] = None,
) -> None:
    """Where is the network wrong? How often, what it confuses, and its most confident mistakes.

    Needs pictures whose folders, names or list tell their classes.
    """
    from convscope.scanning.mistakes import mistakes
    from convscope.scanning.stored import open_scan

    found = mistakes(open_scan(scan), limit=limit, neighbours=like)
    if out is not None:
        found.save(out, limit=max(1, limit))
    typer.echo(found.to_json() if as_json else str(found))
