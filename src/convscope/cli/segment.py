"""`convscope segment`: cut out the object that an answer rests on."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from convscope.cli.options import (
    DEFAULT_NETWORK,
    Device,
    Json,
    NetworkName,
    Picture,
    Weights,
    WeightsKey,
    file_name,
    likeliest,
    load_network,
    say,
)
from convscope.cli.progress import bar

if TYPE_CHECKING:
    from torch import Tensor


def segment(
    image: Picture,
    target: Annotated[
        str | None, typer.Option("--target", "-t", help="As for explain; by default the most probable class.")
    ] = None,
    method: Annotated[
        str, typer.Option("--method", "-m", help="Whose map says where the object is; as for explain.")
    ] = "grad-cam",
    mask: Annotated[
        str | None, typer.Option(help="The true mask, a picture bright where the object is, to be compared with.")
    ] = None,
    prepared: Annotated[
        bool, typer.Option("--prepared", help="Cut out of the image as the network is given it, not the photograph.")
    ] = False,
    network: NetworkName = DEFAULT_NETWORK,
    seed: Annotated[int, typer.Option(help="Of GrabCut's clustering of colours.")] = 0,
    weights: Weights = None,
    weights_key: WeightsKey = None,
    device: Device = "cpu",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The outline; the mask and the cut-out are written beside it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Cut out the object that an answer rests on: its outline, its mask, and itself on nothing.

    All have the photograph's own size. Prints the box around it, and how well a true mask is met.
    """
    from convscope.attribution.methods import explain
    from convscope.attribution.segment import segment as cut

    net = load_network(network, weights, weights_key, device)
    photograph = net.open(image)
    shown = net.prepare(photograph)
    if target is None:
        target = likeliest(net, shown)
    with bar(method) as watcher:
        why = explain(method, net, shown, target, progress=watcher)
    result = cut(shown, why, seed=seed) if prepared else cut(photograph, why, network=net, seed=seed)
    met = None if mask is None else float(result.iou(_true(mask, result.mask)))
    outline = out or file_name(image, target, "object")
    places = {
        "outline": outline,
        "mask": outline.with_name(f"{outline.stem}-mask{outline.suffix}"),
        "cutout": outline.with_name(f"{outline.stem}-cutout{outline.suffix}"),
    }
    for style, path in places.items():
        result.save(path, style=style)
    top, left, bottom, right = result.box
    if as_json:
        told = {"top": top, "left": left, "bottom": bottom, "right": right}
        files = {style: str(path) for style, path in places.items()}
        typer.echo(json.dumps({"image": image, "target": target, "box": told, "iou": met, **files}, ensure_ascii=False))
        return
    for path in places.values():
        typer.echo(str(path))
    say(f"box: top {top}, left {left}, bottom {bottom}, right {right}")
    if met is not None:
        say(f"intersection over union with {mask}: {met:.3f}")


def _true(path: str, mask: "Tensor") -> "Tensor":
    """The true mask in a picture, which must have the size of the mask that it is compared with."""
    from convscope.errors import ImageError
    from convscope.image.read import read_image

    true = read_image(path).mean(dim=0)
    if true.shape != mask.shape:
        got, expected = ("×".join(map(str, each.shape)) for each in (true, mask))
        raise ImageError(f"{path} is {got} pixels; expected {expected}, the size of what is cut out (see --prepared)")
    return true
