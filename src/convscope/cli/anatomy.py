"""`convscope anatomy …` and `convscope filters`: what a network is made of, and the arithmetic behind it."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from convscope.cli.options import (
    DEFAULT_NETWORK,
    Json,
    NetworkName,
    Out,
    Weights,
    WeightsKey,
    file_name,
    load_network,
    write,
)

app = typer.Typer(help="What a network is made of: its layers, and the arithmetic of convolution and pooling.")

Size = Annotated[str, typer.Argument(metavar="ROWSxCOLUMNS", help="Of the input, as 39x31 or 224.")]
Kernel = Annotated[str, typer.Option(help="Rows x columns of the window.")]
Padding = Annotated[str, typer.Option(help="Zeros around the input.")]
Channels = Annotated[int, typer.Option(help="Of the input.")]
Strict = Annotated[bool, typer.Option(help="A size that is no whole number is an error.")]


@app.callback(invoke_without_command=True)
def anatomy(
    context: typer.Context,
    network: NetworkName = DEFAULT_NETWORK,
    layer: Annotated[list[str] | None, typer.Option(help="Only this layer; may be given again.")] = None,
    weights: Weights = None,
    weights_key: WeightsKey = None,
    as_json: Json = False,
) -> None:
    """The layers of a network: kind, output, kernel, stride, parameters, multiply-adds, receptive field."""
    if context.invoked_subcommand is not None:
        return
    from convscope.anatomy.layer_table import layer_table

    table = layer_table(load_network(network, weights, weights_key), layer)
    typer.echo(table.to_json() if as_json else str(table))


@app.command()
def convolution(
    size: Size,
    kernel: Kernel = "3",
    stride: Annotated[str, typer.Option(help="Steps of the window.")] = "1",
    padding: Padding = "0",
    dilation: Annotated[str, typer.Option(help="Pixels from one weight to the next.")] = "1",
    channels: Channels = 3,
    filters: Annotated[int, typer.Option(help="How many.")] = 1,
    groups: Annotated[int, typer.Option(help="Filters read so many separate groups of channels.")] = 1,
    strict: Strict = False,
) -> None:
    """Output size and cost of a convolution, worked out: (H + 2P − F)/S + 1."""
    from convscope.anatomy.arithmetic import convolution as work_out

    sizes = work_out(
        _pair(size), _pair(kernel), stride=_pair(stride), padding=_pair(padding), dilation=_pair(dilation),
        channels=channels, filters=filters, groups=groups, strict=strict,
    )  # fmt: skip
    typer.echo(sizes.explain())


@app.command()
def pooling(
    size: Size,
    kernel: Kernel = "2",
    stride: Annotated[str | None, typer.Option(help="Steps of the window; the kernel's size by default.")] = None,
    padding: Padding = "0",
    channels: Channels = 1,
    ceil: Annotated[bool, typer.Option(help="Round up.")] = False,
    strict: Strict = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Draw max and average pooling of one map here.")
    ] = None,
) -> None:
    """Output size of a pooling, worked out; with --out, max against average on the same map."""
    from convscope.anatomy.arithmetic import pooling as work_out
    from convscope.anatomy.pooling_compared import pooling_compared

    sizes = work_out(
        _pair(size), _pair(kernel), stride=_pair(stride) if stride else None, padding=_pair(padding),
        channels=channels, ceil=ceil, strict=strict,
    )  # fmt: skip
    typer.echo(sizes.explain())
    if out is not None:
        write(pooling_compared(kernel=_pair(kernel)), out)


@app.command()
def linear(
    inputs: Annotated[int, typer.Argument(help="How many numbers go in.")],
    outputs: Annotated[int, typer.Argument(help="How many come out.")],
) -> None:
    """Parameters of a fully connected layer, worked out."""
    from convscope.anatomy.arithmetic import linear as work_out

    typer.echo(work_out(inputs, outputs).explain())


@app.command()
def sliding(
    stride: Annotated[str, typer.Option(help="Steps of the kernel.")] = "1",
    padding: Padding = "0",
    at: Annotated[str, typer.Option(metavar="ROWxCOLUMN", help="Which output value to take apart.")] = "0x0",
    out: Out = None,
) -> None:
    """A convolution as a sliding dot product, drawn on the lecture's 5×5 image and 3×3 kernel."""
    from convscope.anatomy.sliding_product import sliding_product

    result = sliding_product(stride=_pair(stride), padding=_pair(padding), at=_pair(at))
    write(result, out or file_name("sliding-product"))


@app.command()
def matching(seed: Annotated[int, typer.Option(help="Of the noise.")] = 0, out: Out = None) -> None:
    """Why a filter answers most to itself, at fixed norm, and which brighter patch beats it."""
    from convscope.anatomy.matching import matching as match

    write(match(seed=seed), out or file_name("matching"))


def filters(
    network: Annotated[list[str] | None, typer.Option("--network", "-n", help="Which; may be given again.")] = None,
    layer: Annotated[str | None, typer.Option(help="Which convolution; the first by default.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="How many filters to show.")] = None,
    scale: Annotated[Literal["own", "shared"], typer.Option(help="A scale for each filter, or one for all.")] = "own",
    natural: Annotated[
        Literal["ica", "sparse"] | None,
        typer.Option(help="Instead of a network's, filters learned from the bundled photographs alone."),
    ] = None,
    weights: Weights = None,
    weights_key: WeightsKey = None,
    seed: Annotated[int, typer.Option(help="Of the learning, with --natural.")] = 0,
    out: Out = None,
) -> None:
    """The filters of a convolution as tiles: in colour where they read the image, grey beyond."""
    if natural is not None:
        from convscope.anatomy.natural_filters import natural_filters

        write(natural_filters(natural, seed=seed), out or file_name("natural-filters", natural))
        return
    from convscope.anatomy.filters import filters as show

    names = network or [DEFAULT_NETWORK]
    first = load_network(names[0], weights, weights_key)
    result = show([first, *map(load_network, names[1:])], layer, limit=limit)
    write(result, out or file_name("filters", *names, layer or ""), scale=scale)


def _pair(text: str) -> tuple[int, int]:
    """`39x31`, `39×31`, `39,31` or `39` as a pair of numbers."""
    parts = text.replace("×", "x").replace(",", "x").lower().split("x")
    if len(parts) > 2 or not all(part.strip().lstrip("-").isdigit() for part in parts):
        raise typer.BadParameter(f"got {text!r}, expected a number or two as in 39x31")
    return int(parts[0]), int(parts[-1])
