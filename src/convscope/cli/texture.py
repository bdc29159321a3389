"""`convscope texture`: more of a picture, by what a network sees in it or copied from it."""

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from convscope.cli.making import (
    Grid,
    Optimizer,
    Parameterization,
    Preview,
    Regularizers,
    Schedule,
    Seed,
    Size,
    Steps,
    Transforms,
    make,
    size_of,
)
from convscope.cli.options import (
    Device,
    Json,
    Out,
    Picture,
    Weights,
    WeightsKey,
    file_name,
    load_network,
    say,
    split,
)
from convscope.errors import ConvscopeError

if TYPE_CHECKING:
    from torch import Tensor

    from convscope.network.network import Network

_COPYING = {"quilting": "quilting", "efros-leung": "efros_leung"}
_METHODS = ("gram", *_COPYING)
# What a copy is made of has to be small, or it takes minutes.
_READ = {"gram": 256, "quilting": None, "efros-leung": 64}


def texture(
    image: Picture,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            "-m",
            help="gram: the same Gram matrices (Gatys et al. 2015); quilting: blocks copied and cut (Efros and Freeman "
            "2001); efros-leung: pixel by pixel (1999).",
        ),
    ] = "gram",
    network: Annotated[
        str, typer.Option("--network", "-n", help="For gram; `convscope networks` lists those that there are.")
    ] = "vgg16-hed",
    layer: Annotated[
        list[str] | None, typer.Option("--layer", "-l", help="Whose Gram matrices; by default usual ones.")
    ] = None,
    depth: Annotated[int | None, typer.Option(min=1, help="Only so many of the layers, the shallowest.")] = None,
    read: Annotated[
        int | None,
        typer.Option(
            min=1, help="Longer side at most of the example as it is read; by default 256 for gram, 64 for efros-leung."
        ),
    ] = None,
    size: Size = None,
    preset: Annotated[
        str | None,
        typer.Option(help="For gram: exact, a pyramid by L-BFGS; gatys, pixels by L-BFGS; adam, Fourier by Adam."),
    ] = None,
    count: Annotated[int, typer.Option("--count", "-c", min=1, help="For gram: textures.")] = 1,
    block: Annotated[int | None, typer.Option(min=1, help="For quilting: side of the blocks in pixels.")] = None,
    window: Annotated[int | None, typer.Option(min=1, help="For efros-leung: side of the window, odd.")] = None,
    steps: Steps = None,
    parameterization: Parameterization = None,
    transforms: Transforms = None,
    regularizers: Regularizers = None,
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
    """More of a picture: a texture of any size that looks like it.

    By depth of layers, from colours to objects: convscope texture coffee --grid depth=1,2,3,4,5
    """
    from convscope.image.read import read_image

    chosen = _known(method)
    own: dict[str, dict[str, Any]] = {
        "gram": {
            "layers": split(layer), "depth": depth, "preset": preset, "count": None if count == 1 else count,
            "steps": steps, "parameterization": parameterization, "transforms": transforms,
            "regularizers": regularizers, "optimizer": optimizer, "schedule": schedule,
        },
        "quilting": {"block": block},
        "efros-leung": {"window": window},
    }  # fmt: skip
    _check_own(chosen, own)
    example = read_image(image, read or _READ[chosen])
    given: list[Network | Tensor] = [example]
    if chosen == "gram":
        given = [load_network(network, weights, weights_key, device), example]
    options = {**own[chosen], "size": size_of(size), "seed": seed}
    path = out or file_name(image, chosen, "texture")
    name = _COPYING.get(chosen, "texture")
    result = make(name, given, options, label=name, out=path, grid=grid, preview=preview, quiet=as_json)
    caption = getattr(result, "caption", "")
    if caption:
        say(caption)
    if as_json:
        typer.echo(json.dumps({"figure": str(path)}, ensure_ascii=False))


def _known(method: str) -> Literal["gram", "quilting", "efros-leung"]:
    match method:
        case "gram" | "quilting" | "efros-leung":
            return method
    from convscope.errors import nearest

    raise ConvscopeError(f"no method {method!r}; {nearest(method, _METHODS)}")


def _check_own(method: str, own: dict[str, dict[str, Any]]) -> None:
    """Raise for options of other methods."""
    for other, options in own.items():
        strange = [name for name, value in options.items() if value is not None and other != method]
        if strange:
            told = ", ".join(f"--{name.removesuffix('s') if name == 'layers' else name}" for name in strange)
            raise ConvscopeError(f"{told} belongs to --method {other}, not to {method}")
