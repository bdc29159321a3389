"""`convscope style`: a picture in the manner of others."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from convscope.cli.making import Grid, Optimizer, Parameterization, Preview, Schedule, Seed, Steps, make
from convscope.cli.options import Device, Json, Out, Weights, WeightsKey, file_name, load_network, say, split
from convscope.errors import ConvscopeError

if TYPE_CHECKING:
    from torch import Tensor

    from convscope.network.network import Network

_READ = 512


def style(
    content: Annotated[str, typer.Argument(metavar="CONTENT", help="A picture file, or a bundled photograph.")],
    styles: Annotated[list[str], typer.Argument(metavar="STYLE…", help="One or more pictures to take the style of.")],
    weight: Annotated[
        list[float] | None, typer.Option("--weight", "-w", help="Of a style, in their order; by default alike.")
    ] = None,
    network: Annotated[
        str, typer.Option("--network", "-n", help="`convscope networks` lists those that there are.")
    ] = "vgg16-hed",
    size: Annotated[int, typer.Option(min=1, help="Longer side of the content at most.")] = _READ,
    style_size: Annotated[
        int | None, typer.Option(min=1, help="Longer side of the styles at most; by default that of the content.")
    ] = None,
    style_scale: Annotated[
        float | None, typer.Option(help="How many times as large the styles are shown: larger ones, larger strokes.")
    ] = None,
    content_weight: Annotated[float | None, typer.Option(help="Of the content; by default 1.")] = None,
    style_weight: Annotated[float | None, typer.Option(help="Of the style; by default 10.")] = None,
    tv: Annotated[float | None, typer.Option(help="Of the total variation, against grain; by default 1.")] = None,
    content_layer: Annotated[list[str] | None, typer.Option(help="By default relu4_2, or the middle stage.")] = None,
    style_layer: Annotated[list[str] | None, typer.Option(help="By default relu1_1 to relu5_1, or all stages.")] = None,
    statistics: Annotated[
        str | None, typer.Option(help="What style is: gram (the default), moments, covariance or wasserstein.")
    ] = None,
    pooling: Annotated[str | None, typer.Option(help="max (the network's own) or average.")] = None,
    colour: Annotated[
        str | None,
        typer.Option(help="style; or keep the content's: luminance, exactly; matched, in mean and covariance."),
    ] = None,
    mask: Annotated[
        list[str] | None, typer.Option(help="Where the content takes a style, bright there; one for each style.")
    ] = None,
    dream: Annotated[str | None, typer.Option(help="A layer that is to answer more strongly, too.")] = None,
    dream_weight: Annotated[float | None, typer.Option(help="Of the dream; by default 3.")] = None,
    smooth: Annotated[
        bool, typer.Option("--smooth", help="Compare features after a softmax; for networks with residual connections.")
    ] = False,
    tile: Annotated[
        int | None,
        typer.Option(
            min=1, help="Side of windows that larger pictures are seen through; by default where they need it."
        ),
    ] = None,
    start: Annotated[
        str, typer.Option(help="content, style, noise, or a picture to go on from, such as an earlier result.")
    ] = "content",
    sizes: Annotated[
        str | None, typer.Option(help="Longer sides from coarse to fine, as 128,256,512; by default by halves.")
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="fine, a pyramid by L-BFGS (the default); adam, by Adam; gatys, pixels by L-BFGS."),
    ] = None,
    steps: Steps = None,
    parameterization: Parameterization = None,
    optimizer: Optimizer = None,
    schedule: Schedule = None,
    seed: Seed = 0,
    grid: Grid = None,
    preview: Preview = None,
    weights: Weights = None,
    weights_key: WeightsKey = None,
    device: Device = "cpu",
    out: Out = None,
    as_json: Json = False,
) -> None:
    """What is in one picture, in the manner of others.

    The trade-off: convscope style coffee brick --grid style_weight=1,10,100. Going on where it ended: convscope style
    coffee brick --start coffee-brick-style.png
    """
    from convscope.synthesis.style_options import STARTS

    net = load_network(network, weights, weights_key, device)
    read = [_read(net, content, size), *(_read(net, each, style_size or size) for each in styles)]
    read += [_read(net, each, size) for each in mask or []]
    if start not in STARTS:
        read.append(_read(net, start))
    options: dict[str, Any] = {
        "weights": weight, "content_weight": content_weight, "style_weight": style_weight, "tv": tv,
        "content_layers": split(content_layer), "style_layers": split(style_layer), "statistics": statistics,
        "pooling": pooling, "style_scale": style_scale, "colour": colour, "masks": len(mask) if mask else None,
        "dream": dream, "dream_weight": dream_weight, "smoothing": smooth or None, "tile": tile,
        "start": start if start in STARTS else "image",
        "sizes": _sides(sizes), "preset": preset, "steps": steps, "parameterization": parameterization,
        "optimizer": optimizer, "schedule": schedule, "seed": seed,
    }  # fmt: skip
    path = out or file_name(content, *(file_name(each, suffix="").name for each in styles[:3]), "style")
    result = make("style", [net, *read], options, label="style", out=path, grid=grid, preview=preview, quiet=as_json)
    caption = getattr(result, "caption", "")
    if caption:
        say(caption)
    if as_json:
        typer.echo(json.dumps({"figure": str(path)}, ensure_ascii=False))


def _read(network: "Network", path: str, size: int | None = None) -> "Tensor":
    """A picture as the network needs it, its longer side at most `size`."""
    from convscope.image.read import read_image

    return read_image(path, size, channels=network.channels, window=network.window)


def _sides(text: str | None) -> list[int] | None:
    """Longer sides.

    >>> _sides("128,256")
    [128, 256]
    """
    if text is None:
        return None
    try:
        return [int(each) for each in text.split(",")]
    except ValueError:
        raise ConvscopeError(f"can't understand --sizes {text!r}; expected longer sides, as 128,256,512") from None
