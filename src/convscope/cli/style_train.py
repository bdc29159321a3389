"""`convscope style-train`: a network that stylizes in one forward pass."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from convscope.cli.making import Preview, Seed, previewed
from convscope.cli.options import Device, Json, Weights, WeightsKey, load_network, say, split
from convscope.cli.progress import bar
from convscope.errors import ConvscopeError

if TYPE_CHECKING:
    from torch import Tensor

    from convscope.synthesis.train_style import Training

_SIZE = 256


def style_train(
    styles: Annotated[
        list[str], typer.Argument(metavar="STYLE…", help="Pictures to take the styles of; NAME=FILE gives one a name.")
    ],
    photographs: Annotated[
        str,
        typer.Option("--photographs", "-p", help="A folder of pictures to learn on, a list, Parquet or an address."),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The network's file; by default NAME.safetensors.")
    ] = None,
    add_to: Annotated[
        Path | None, typer.Option(help="A trained network to add the styles to; its own stay as they are.")
    ] = None,
    network: Annotated[str, typer.Option("--network", "-n", help="What judges the likeness.")] = "vgg16-hed",
    style_size: Annotated[
        int | None, typer.Option(min=1, help="Longer side of the styles; larger ones, larger strokes. By default SIZE.")
    ] = None,
    width: Annotated[
        int | None, typer.Option(help="Channels at full size: 32, or 16 for a network more than twice as fast.")
    ] = None,
    blocks: Annotated[int | None, typer.Option(help="How many residual blocks: 5.")] = None,
    kernel: Annotated[int | None, typer.Option(help="Side of the first and last convolution: 9.")] = None,
    norm: Annotated[str | None, typer.Option(help="instance (the default) or batch.")] = None,
    content_weight: Annotated[float | None, typer.Option(help="Of the content; by default 1.")] = None,
    style_weight: Annotated[float | None, typer.Option(help="Of the style; by default 5.")] = None,
    tv: Annotated[float | None, typer.Option(help="Of the total variation, against grain; by default 1.")] = None,
    content_layer: Annotated[list[str] | None, typer.Option(help="By default relu3_3.")] = None,
    style_layer: Annotated[list[str] | None, typer.Option(help="By default relu1_2, 2_2, 3_3 and 4_3.")] = None,
    statistics: Annotated[
        str | None, typer.Option(help="What style is: gram (the default), moments, covariance or wasserstein.")
    ] = None,
    size: Annotated[int | None, typer.Option(help="Of the crops that are learned from: 256.")] = None,
    batch: Annotated[int | None, typer.Option(help="Crops a step: 4.")] = None,
    steps: Annotated[int | None, typer.Option(help="How many: 40000. A few thousand will do for a first look.")] = None,
    rate: Annotated[float | None, typer.Option(help="Of Adam: 0.001.")] = None,
    schedule: Annotated[str | None, typer.Option(help="How the rate changes: constant, linear, cosine.")] = None,
    save_every: Annotated[int | None, typer.Option(help="Steps from one checkpoint to the next: 100.")] = None,
    log: Annotated[Path | None, typer.Option(help="A folder for TensorBoard's logs.")] = None,
    curves: Annotated[Path | None, typer.Option(help="A PNG of the loss over steps, when it is done.")] = None,
    seed: Seed = 0,
    preview: Preview = None,
    weights: Weights = None,
    weights_key: WeightsKey = None,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Train a network that puts any picture into the styles of these, in one forward pass.

    Stopped, the same command goes on where it was. Several processes share the work when they are started by
    torchrun: torchrun --nproc-per-node 2 -m convscope style-train …

    Then: convscope stylize photo.jpg --network NAME.safetensors
    """
    from convscope.synthesis.fast_style.sharing import together
    from convscope.synthesis.train_style import train_style

    given: dict[str, Any] = {
        "add_to": add_to, "width": width, "blocks": blocks, "kernel": kernel, "norm": norm,
        "content_weight": content_weight, "style_weight": style_weight, "tv": tv,
        "content_layers": split(content_layer), "style_layers": split(style_layer), "statistics": statistics,
        "size": size, "batch": batch, "steps": steps, "rate": rate, "schedule": schedule, "save_every": save_every,
        "log": log,
    }  # fmt: skip
    options = {name: value for name, value in given.items() if value is not None}
    with together(device) as (place, leads):
        net = load_network(network, weights, weights_key, place)
        images = _named(styles, style_size or size or _SIZE)
        path = out or Path("-".join(list(images)[:3]) + ".safetensors")
        with bar("training") as watcher:
            shown = previewed(watcher, preview) if preview is not None and leads else watcher
            made = train_style(net, images, photographs, path, seed=seed, progress=shown, **options)
        if leads:
            _tell(made, path, curves, as_json=as_json)


def _named(styles: list[str], size: int) -> "dict[str, Tensor]":
    """Pictures by the names their styles shall have: given as NAME=FILE, or the file's own."""
    from convscope.image.read import read_image

    images: dict[str, Tensor] = {}
    for each in styles:
        name, equals, path = each.rpartition("=")
        name = name if equals else Path(path).stem
        if not name or name in images:
            raise ConvscopeError(f"got two styles named {name!r}; expected another name each, as NAME=FILE")
        images[name] = read_image(path, size, channels=3)
    return images


def _tell(made: "Training", path: Path, curves: Path | None, *, as_json: bool) -> None:
    last = {name: float(curve[-max(1, len(curve) // 20) :].mean()) for name, curve in made.curves.items()}
    if curves is not None:
        made.save(curves)
    if as_json:
        told = {"network": str(path), "styles": list(made.network.styles), "losses": last}
        typer.echo(json.dumps(told, ensure_ascii=False))
        return
    typer.echo(str(path))
    say(f"content error {last['content']:.2f}, style error {last['style']:.3f}")
