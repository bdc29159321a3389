"""Options and arguments that commands share, and what they stand for."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from torch import Tensor

    from convscope.network.network import Network
    from convscope.render.result import Pictured

DEFAULT_NETWORK = "efficientnet-lite0"

Picture = Annotated[str, typer.Argument(metavar="IMAGE", help="A picture file, or a bundled photograph: chelsea, …")]
NetworkName = Annotated[
    str, typer.Option("--network", "-n", help="Which network; `convscope networks` lists them.", show_default=True)
]
Weights = Annotated[
    Path | None, typer.Option(help="Weights to load instead of the published ones: safetensors or a torch file.")
]
WeightsKey = Annotated[str | None, typer.Option(help="Where in that file they are, if it holds several.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, mps, …; auto takes the fastest there is.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Where to write; by default named after the input.")]
METHODS = (
    "saliency, guided, deconvnet, grad-cam, guided-grad-cam, occlusion, integrated-gradients, smooth-grad; several "
    "with commas, or given again."
)
"""What may be asked for by `--method`."""

Json = Annotated[bool, typer.Option("--json", help="Write JSON for another program.")]


def load_network(
    name: str, weights: Path | None = None, weights_key: str | None = None, device: str = "cpu"
) -> "Network":
    """The network that the options name; how its weights fitted is said on the error stream."""
    from convscope.network.zoo import load

    network = load(name, weights=weights, weights_key=weights_key, device=device, on_line=say)
    for note in network.notes:
        say(note)
    return network


def likeliest(network: "Network", image: "Tensor") -> str:
    """The most probable class as a target, which is said on the error stream."""
    best = network.predict(image, top=1)[0]
    say(f"target: {best.label} ({best.probability:.1%})")
    return f"class:{best.index}"


def split(given: list[str] | None) -> list[str] | None:
    """Names from options that hold several with commas between; None where none was given.

    >>> split(["saliency, guided", "grad-cam"])
    ['saliency', 'guided', 'grad-cam']
    """
    return [name.strip() for each in given for name in each.split(",") if name.strip()] if given else None


def say(line: str) -> None:
    """A line for the person, beside the output."""
    typer.echo(line, err=True)


def write(result: "Pictured", path: Path, **options: object) -> None:
    """Save a result and say where."""
    result.save(path, **options)
    typer.echo(str(path))


def file_name(*parts: str, suffix: str = ".png") -> Path:
    """A file in the working folder named after what is in it.

    >>> file_name("photos/dog.jpg", "class:207", "guided")
    PosixPath('dog-class-207-guided.png')
    """
    stem = Path(parts[0]).stem
    spoken = [part.replace(" - ", " minus ").replace(" + ", " plus ") for part in parts[1:]]
    words = ["".join(each if each.isalnum() or each in "._" else "-" for each in part) for part in (stem, *spoken)]
    return Path("-".join(word.strip("-") for word in words if word) + suffix)
