"""What the commands that make images share: their options, sheets over a parameter, previews, and being stopped."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from convscope.cli.options import say
from convscope.cli.progress import bar
from convscope.errors import ConvscopeError, ImageError, Stopped
from convscope.progress import Progress, Watcher

if TYPE_CHECKING:
    from torch import Tensor

    from convscope.network.network import Network
    from convscope.render.result import Pictured

_REDRAWN = 2.0
"""Seconds from one preview to the next."""

Steps = Annotated[int | None, typer.Option(min=1, help="How many steps.")]
Seed = Annotated[int, typer.Option(help="Of the random numbers.")]
Size = Annotated[str | None, typer.Option(help="Of the picture in pixels: 320, or 320x240 for width x height.")]
Grid = Annotated[
    list[str] | None,
    typer.Option(
        "--grid",
        help="A sheet over a parameter: steps=64,128,256, or of a part: blur.sigma=0,0.5,1. Given twice: rows and "
        "columns. Values that hold commas are separated by ; instead.",
    ),
]
Preview = Annotated[Path | None, typer.Option(help="A PNG that shows the picture as it is, every two seconds.")]
Parameterization = Annotated[
    str | None, typer.Option(help="What is changed: fourier, pixels, phase, pyramid; with numbers: fourier:decay=1.5.")
]
Transforms = Annotated[
    str | None,
    typer.Option(help="What the network sees, in quotes: 'jitter:16 scale:0.9,1.1 rotate:10 noise:0.05', or none."),
]
Regularizers = Annotated[
    str | None,
    typer.Option(
        help="What keeps it simple, in quotes: 'decay:1e-4 blur:1,every=4 clip-norm:0.2 clip-gradient:0.2 "
        "clip-contribution:0.2 tv:1 alpha-norm:1', or none."
    ),
]
Optimizer = Annotated[str | None, typer.Option(help="adam:0.05, ascent:0.01,momentum=0.9 or lbfgs:1.")]
Schedule = Annotated[str | None, typer.Option(help="How the rate changes: constant, linear, cosine.")]


def make(
    method: str,
    given: Sequence["Network | Tensor"],
    options: Mapping[str, Any],
    *,
    label: str,
    out: Path,
    grid: list[str] | None = None,
    preview: Path | None = None,
    quiet: bool = False,
) -> "Pictured":
    """Run a method, or a sheet of it, with a bar, and write its picture; say where, unless `quiet`.

    Options that are None are the method's own. Stopped, what there is by then is written beside.
    """
    from convscope.plates.sheet import sheet
    from convscope.plates.synthesized import METHODS

    told = {name: value for name, value in options.items() if value is not None}
    varied = dict(_values(each) for each in grid or [])

    def run(watcher: Watcher) -> "Pictured":
        if varied:
            kept = {name: value for name, value in told.items() if name not in varied}
            return sheet(method, *given, grid=varied, progress=watcher, **kept)
        networks, images = _sorted(given)
        return METHODS[method](networks, images, {**told, "progress": watcher})

    return made(run, label=label, out=out, preview=preview, quiet=quiet)


def made(
    run: Callable[[Watcher], "Pictured"], *, label: str, out: Path, preview: Path | None = None, quiet: bool = False
) -> "Pictured":
    """What `run` makes, with a bar, written as `make` does."""
    from convscope.image.write import check_place

    if out.suffix.lower() != ".png":
        raise ImageError(f"can't write {str(out)!r}: convscope writes PNG, since it carries the recipe; name it .png")
    for place in (out, preview):
        if place is not None:
            check_place(place)
    try:
        with bar(label) as watcher:
            result = run(watcher if preview is None else previewed(watcher, preview))
    except Stopped as stopped:
        if stopped.so_far is not None:
            unfinished = out.with_stem(f"{out.stem}-unfinished")
            _write(stopped.so_far, unfinished)
            say(f"what there was by then: {unfinished}")
        raise
    result.save(out)
    if not quiet:
        typer.echo(str(out))
    return result


def size_of(text: str | None) -> tuple[int, int] | None:
    """(rows, columns) from `320` or `320x240`, width first as pictures are told.

    >>> size_of("320x240")
    (240, 320)
    """
    if text is None:
        return None
    try:
        width, _, height = text.lower().replace("×", "x").partition("x")
        return int(height or width), int(width)
    except ValueError:
        raise ConvscopeError(f"can't understand the size {text!r}; expected 320, or 320x240") from None


def _values(text: str) -> tuple[str, list[Any]]:
    """A parameter's name and its values.

    >>> _values("blur.sigma=0,0.5")
    ('blur.sigma', [0, 0.5])
    """
    name, equals, rest = text.partition("=")
    values = [each.strip() for each in rest.split(";" if ";" in rest else ",") if each.strip()]
    if not equals or not values:
        raise ConvscopeError(f"can't understand --grid {text!r}; expected NAME=VALUE,VALUE,…")
    return name.strip().replace("-", "_") if "." not in name else name.strip(), [_value(each) for each in values]


def _value(text: str) -> Any:
    """A number, true, false or null where it is one, or the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _sorted(given: Sequence["Network | Tensor"]) -> tuple[list["Network"], list["Tensor"]]:
    from torch import Tensor

    images = [each for each in given if isinstance(each, Tensor)]
    return [each for each in given if not isinstance(each, Tensor)], images


def previewed(watcher: Watcher, path: Path) -> Watcher:
    """A watcher that also writes what there is."""
    due = 0.0

    def watch(progress: Progress) -> bool | None:
        nonlocal due
        if progress.preview is not None and time.monotonic() >= due:
            _write(progress.preview, path)
            due = time.monotonic() + _REDRAWN
        return watcher(progress)

    return watch


def _write(shown: Any, path: Path) -> None:
    """A result, or images (N, C, H, W) or (C, H, W), as a PNG."""
    from torch import Tensor

    from convscope.image.write import to_picture, write_png
    from convscope.render.grid import grid

    if not isinstance(shown, Tensor):
        shown.save(path)
        return
    pictures = [to_picture(each) for each in (shown if shown.dim() == 4 else shown[None])]
    write_png(path, pictures[0] if len(pictures) == 1 else grid(pictures))
