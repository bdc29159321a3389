"""`convscope report`, `convscope demo` and `convscope redo`."""

import shlex
import sys
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Annotated

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
from convscope.cli.progress import bar

if TYPE_CHECKING:
    from convscope.network.network import Network

_STEPS = 128
"""Of the demo's image: enough to see what it is."""


def report(
    image: Picture,
    target: Annotated[
        list[str] | None, typer.Option("--target", "-t", help="Instead of the likeliest classes.")
    ] = None,
    layer: Annotated[list[str] | None, typer.Option(help="Whose activations to show; may be given again.")] = None,
    network: NetworkName = DEFAULT_NETWORK,
    top: Annotated[int, typer.Option(min=1, help="How many classes to explain.")] = 3,
    verdict: Annotated[bool, typer.Option(help="Test the maps, and say of each whether it holds.")] = True,
    weights: Weights = None,
    weights_key: WeightsKey = None,
    device: Device = "cpu",
    out: Out = None,
) -> None:
    """One page on what a network sees in a picture: prediction, reasons, activations, filters, layers."""
    net = load_network(network, weights, weights_key, device)
    path = out or file_name(image, "report", suffix=".html")
    _write_report(net, image, path, target, layer, top, verdict)
    typer.echo(str(path))


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write to.")] = Path("demo"),
    image: Annotated[str, typer.Option(help="A picture file, or a bundled photograph.")] = "chelsea",
    network: NetworkName = DEFAULT_NETWORK,
) -> None:
    """The main jobs on bundled photographs with the bundled network: a report to open in a browser, images, and a scan.

    The images are what the network would like to see as the most probable class, what it dreams of the photograph, and
    this in a painter's manner. The scan is of pieces of all bundled photographs, so that there is something to rank:
    what units answer to, a map.
    """
    net = load_network(network)
    likely = net.predict(net.read(image), top=3)
    for each in likely:
        typer.echo(f"{each.probability:7.2%}  {each.label}")
    path = out / file_name(image, "report", suffix=".html")
    _write_report(net, image, path)
    _make_images(net, image, likely[0].index, out)
    _look_at_pieces(net, out)
    typer.echo(f"Open {path.resolve()} in a browser; all of it, and your camera, in the Explorer:")
    typer.echo(_explored(out))


def redo(
    picture: Annotated[Path, typer.Argument(help="A PNG that convscope wrote.")],
    source: Annotated[str | None, typer.Option("--input", help="The picture it was made from.")] = None,
    network: Annotated[str | None, typer.Option("--network", "-n", help="The network it was made with.")] = None,
    weights: Annotated[Path | None, typer.Option(help="The weights it was made with.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="By default NAME-again.png beside it.")] = None,
) -> None:
    """Make a picture again from the recipe it carries."""
    from convscope.plates.redo import redo as make

    path = out or picture.with_name(f"{picture.stem}-again.png")
    given = None if weights is None else str(weights)
    for warning in make(picture, path, source=source, network=network, weights=given):
        say(warning)
    typer.echo(str(path))


def _explored(out: Path) -> str:
    """The command that opens the Explorer on what the demo made, as this one was called."""
    made = next((each for each in (out / "pieces.scan", out / "pieces") if each.is_dir()), None)
    called = sys.argv[0] if Path(sys.argv[0]).name == "convscope" and which("convscope") is None else "convscope"
    return shlex.join([called, "explore", *([] if made is None else [str(made)])])


def _make_images(network: "Network", image: str, likeliest: int, out: Path) -> None:
    """What the network would like to see, and the photograph in a bundled style."""
    from convscope.synthesis.dream import dream
    from convscope.synthesis.maximize import maximize
    from convscope.synthesis.stylize import stylize

    with bar("maximizing") as watcher:
        made = maximize(network, likeliest, steps=_STEPS, progress=watcher)
    write(made, out / "preferred.png")
    with bar("dreaming") as watcher:
        dreamt = dream(network, network.open(image), progress=watcher)
    write(dreamt, out / "dream.png")
    write(stylize(network.open(image)), out / "stylized.png")


def _look_at_pieces(network: "Network", out: Path) -> None:
    """What a scan of pieces of the bundled photographs shows, where the extra for it is installed."""
    from convscope.errors import MissingExtra
    from convscope.plates.pieces import look_at_pieces

    try:
        with bar("scanning") as watcher:
            for name, each in look_at_pieces(network, out, progress=watcher):
                write(each, out / f"{name}.png")
    except MissingExtra as error:
        say(str(error))


def _write_report(
    network: "Network",
    image: str,
    path: Path,
    targets: list[str] | None = None,
    layers: list[str] | None = None,
    top: int = 3,
    verdicts: bool = True,
) -> None:
    from convscope.plates.report import report as make

    with bar("explaining") as watcher:
        options = {"targets": targets, "layers": layers, "top": top, "verdicts": verdicts}
        page = make(network, network.open(image), **options, progress=watcher)  # type: ignore[arg-type]  # by name
    page.save(path)
