"""`convscope dream`: photographs and films with more and more in them of what a layer sees there."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from convscope.cli.making import Grid, Preview, Seed, make, previewed
from convscope.cli.options import (
    DEFAULT_NETWORK,
    Device,
    Json,
    NetworkName,
    Out,
    Weights,
    WeightsKey,
    file_name,
    load_network,
    say,
)
from convscope.cli.progress import bar
from convscope.errors import ConvscopeError, Stopped

if TYPE_CHECKING:
    from torch import Tensor

    from convscope.network.network import Network
    from convscope.synthesis.filming import DreamFilm

_FILMS = (".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".gif")


def dream(
    image: Annotated[
        str, typer.Argument(metavar="IMAGE", help="A picture, a bundled photograph, or a film: a video, GIF or folder.")
    ],
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target", "-t", help="A layer, or any other target such as class:207; given again, they are added. By "
            "default a layer that shows parts of things."
        ),
    ] = None,
    network: NetworkName = DEFAULT_NETWORK,
    guide: Annotated[str | None, typer.Option(help="A second picture, of which the layer is to see more.")] = None,
    size: Annotated[int | None, typer.Option(min=1, help="Longer side of the picture at most; else its own.")] = None,
    octaves: Annotated[int | None, typer.Option(help="Sizes from small to large; by default 4, of films 3.")] = None,
    scale: Annotated[float | None, typer.Option(help="How much larger each octave is; by default 1.4.")] = None,
    steps: Annotated[int | None, typer.Option(help="On each octave; by default 10, of films 5.")] = None,
    jitter: Annotated[int | None, typer.Option(help="Pixels that it is moved by at most; by default 32.")] = None,
    rate: Annotated[
        float | None, typer.Option(help="What a pixel moves in a step, of 1 from black to white; by default 0.006.")
    ] = None,
    tile: Annotated[int | None, typer.Option(help="Side of the windows that large pictures are seen through.")] = None,
    frames: Annotated[
        int | None, typer.Option(help="Of a picture: a film that falls into it, of so many frames; of a film at most.")
    ] = None,
    zoom: Annotated[float | None, typer.Option(help="How much nearer each frame is; by default 1.05.")] = None,
    rotate: Annotated[float | None, typer.Option(help="By how many degrees each frame is turned.")] = None,
    keep: Annotated[
        float | None, typer.Option(help="Of a film: how much of what was dreamt stays from frame to frame; 0.7.")
    ] = None,
    fps: Annotated[float | None, typer.Option(help="Frames a second; by default 12, of a film its own.")] = None,
    seed: Seed = 0,
    grid: Grid = None,
    preview: Preview = None,
    weights: Weights = None,
    weights_key: WeightsKey = None,
    device: Device = "cpu",
    out: Out = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """What does a layer see in a photograph? Makes more of it, step by step: DeepDream.

    Shallow layers give strokes and ornaments, deep ones parts of animals and things.

    A film that falls into the picture: convscope dream chelsea --frames 120 -o fall.mp4 (or .gif, .webm, .webp, a
    folder). A film dreamt frame by frame: convscope dream holiday.mp4 -o dreamt.mp4. Stopped, both go on with the
    frames that are there when the same command is given again.
    """
    net = load_network(network, weights, weights_key, device)
    shared: dict[str, Any] = {
        "target": target, "octaves": octaves, "scale": scale, "steps": steps, "jitter": jitter, "rate": rate,
        "tile": tile, "seed": seed,
    }  # fmt: skip
    of_film = keep is not None or Path(image).is_dir() or Path(image).suffix.lower() in _FILMS
    kind = "film" if of_film else "zoom" if frames is not None else "picture"
    _check(kind, {"--frames": frames, "--zoom": zoom, "--rotate": rotate, "--keep": keep, "--fps": fps,
                  "--grid": grid, "--size": size})  # fmt: skip
    if kind == "picture":
        given: list[Network | Tensor] = [net, _read(net, image, size), *([_read(net, guide)] if guide else [])]
        path = out or file_name(image, "dream", *(target or [])[:3])
        options = {**shared, "guide": "image" if guide else None}
        result = make("dream", given, options, label="dreaming", out=path, grid=grid, preview=preview, quiet=as_json)
        note = getattr(result, "note", "")
        if note:
            say(note)
        if as_json:
            typer.echo(json.dumps({"file": str(path), "note": note}, ensure_ascii=False))
        return
    shared |= {
        "frames": frames, "frames_per_second": fps, "zoom": zoom, "rotate": rotate, "keep": keep,
        "guide": _read(net, guide) if guide else None,
        "out": out or file_name(image, "dream", suffix=".gif"),
    }  # fmt: skip
    made = _film(net, image if of_film else _read(net, image, size), shared, preview)
    typer.echo(json.dumps({"file": made.path, "frames": made.frames}) if as_json else made.path)


def _film(network: "Network", source: "str | Tensor", options: Mapping[str, Any], preview: Path | None) -> "DreamFilm":
    """The film of a photograph or of a film; where it is stopped, what will be gone on with is said."""
    from convscope.synthesis.dream_film import dream_film
    from convscope.synthesis.zoom_dream import zoom_dream

    told = {name: value for name, value in options.items() if value is not None}
    try:
        with bar("dreaming") as watcher:
            told["progress"] = watcher if preview is None else previewed(watcher, preview)
            return (
                dream_film(network, source, **told) if isinstance(source, str) else zoom_dream(network, source, **told)
            )
    except Stopped:
        say("the frames so far are kept; the same command goes on with them")
        raise


def _read(network: "Network", path: str, size: int | None = None) -> "Tensor":
    """A picture as the network needs it, of its own size or with a longer side of `size`."""
    from convscope.image.read import read_image

    if size is None:
        return network.open(path)
    return read_image(path, size, channels=network.channels, window=network.window)


def _check(kind: str, given: Mapping[str, Any]) -> None:
    """Raise ConvscopeError for options that say nothing of what is made."""
    meant = {
        "picture": ("--grid", "--size"),
        "zoom": ("--frames", "--zoom", "--rotate", "--fps", "--size"),
        "film": ("--frames", "--keep", "--fps"),
    }[kind]
    wrong = [name for name, value in given.items() if value is not None and name not in meant]
    what = {"picture": "a picture; for a film of it say --frames", "zoom": "a film of a picture", "film": "a film"}[
        kind
    ]
    if wrong:
        raise ConvscopeError(f"{', '.join(wrong)} means nothing for {what}")
