"""The commands by name."""

from typing import Annotated

import typer

from convscope import __version__
from convscope.cli import (
    anatomy,
    attack,
    check,
    dream,
    explain,
    explore,
    faithfulness,
    fool,
    hog,
    identified,
    invert,
    linear,
    map,
    maximize,
    mistakes,
    neighbours,
    networks,
    patches,
    predict,
    preferred,
    report,
    robustness,
    scan,
    segment,
    style,
    style_train,
    stylize,
    texture,
    units,
)

app = typer.Typer(
    help="A microscope for convolutional networks: see what a CNN has learned.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"convscope {__version__}")
        raise typer.Exit


@app.callback(epilog="Bad input ends with exit code 2 and one line that says what to do; --debug adds the traceback.")
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it and stop.")
    ] = False,
) -> None:
    """A microscope for convolutional networks: see what a CNN has learned."""


app.command()(predict.predict)
app.command()(check.check)
app.add_typer(anatomy.app, name="anatomy")
app.command()(anatomy.filters)
app.command()(explain.activations)
app.command()(explain.explain)
app.command()(segment.segment)
app.command()(faithfulness.faithfulness)
app.command()(scan.scan)
app.command()(patches.patches)
app.command()(neighbours.neighbours)
app.command("map")(map.map_command)
app.command()(units.units)
app.command()(mistakes.mistakes)
app.command()(maximize.maximize)
app.command()(preferred.preferred)
app.command()(preferred.facets)
app.command()(invert.invert)
app.command()(identified.identified)
app.command()(dream.dream)
app.command()(texture.texture)
app.command()(style.style)
app.command()(style_train.style_train)
app.command()(stylize.stylize)
app.command()(attack.attack)
app.command()(fool.fool)
app.command()(robustness.robustness)
app.command()(linear.linear)
app.command()(hog.hog)
app.command()(explore.explore)
app.command()(report.report)
app.command()(report.demo)
app.command()(report.redo)
app.command()(networks.networks)
app.command()(networks.fetch)
