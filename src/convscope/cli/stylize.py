"""`convscope stylize`: pictures, folders of them and films in the manner of others, in one pass of a network."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from convscope.cli.making import previewed
from convscope.cli.options import Device, Json, Out, file_name, say
from convscope.cli.progress import bar
from convscope.errors import ConvscopeError, ImageError, Stopped

if TYPE_CHECKING:
    from torch import Tensor

    from convscope.progress import Watcher
    from convscope.synthesis.fast_style.style_network import StyleNetwork

_FILMS = (".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".gif")


def stylize(
    pictures: Annotated[
        list[str] | None,
        typer.Argument(metavar="PICTURE", help="Pictures, a bundled photograph, a folder of pictures, or a film."),
    ] = None,
    style: Annotated[
        list[str] | None,
        typer.Option("--style", "-s", help="NAME, or NAME:WEIGHT given again for a blend; by default the first."),
    ] = None,
    network: Annotated[
        Path | None, typer.Option("--network", "-n", help="What style-train wrote; by default the bundled styles.")
    ] = None,
    size: Annotated[int | None, typer.Option(min=1, help="Longer side at most; by default its own.")] = None,
    colour: Annotated[
        str | None, typer.Option(help="style, or luminance, which keeps the picture's own colours.")
    ] = None,
    steady: Annotated[
        float | None, typer.Option(help="Of a film, against flicker: from 0 to less than 1; by default 0.7.")
    ] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="Of a film: so many at most.")] = None,
    fps: Annotated[float | None, typer.Option(help="Of a film: frames a second; by default its own.")] = None,
    film: Annotated[bool, typer.Option("--film", help="A folder is a film, its pictures are the frames.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="Which styles there are.")] = False,
    export: Annotated[
        Path | None, typer.Option(help="Write the network as a file for ONNX Runtime, with all its styles.")
    ] = None,
    engine: Annotated[str | None, typer.Option(help="torch, onnx, or auto for the faster one.")] = None,
    preview: Annotated[Path | None, typer.Option(help="Of a film: a PNG of the last frame, every two seconds.")] = None,
    device: Device = "cpu",
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Pictures in the manner of others, at once: by a network that was trained for several styles.

    A blend: convscope stylize chelsea -s waves:2 -s dots:1. All pictures of a folder: convscope stylize photos/ -o
    stylized/. A film: convscope stylize holiday.mp4 -o stylized.mp4; stopped, it goes on when the same command is given
    again. A style of your own: convscope style-train.
    """
    from convscope.synthesis.fast_style.loading import load_styles

    styles = load_styles(network, device=device)
    wanted = _weights(style)
    if listed:
        typer.echo(json.dumps(list(styles.styles), ensure_ascii=False) if as_json else "\n".join(styles.styles))
        return
    if export is not None:
        from convscope.synthesis.stylize import export_onnx

        export_onnx(export, styles)
        typer.echo(json.dumps({"file": str(export)}, ensure_ascii=False) if as_json else str(export))
    if not pictures:
        if export is None:
            raise ConvscopeError("got no picture; expected one or more, a folder or a film, or --list or --export FILE")
        return
    options: dict[str, Any] = {"style": wanted, "network": styles, "colour": colour, "engine": engine}
    work = _Work(styles, {name: each for name, each in options.items() if each is not None}, size, out, as_json)
    of_film = {"steady": steady, "frames": frames, "frames_per_second": fps}
    if len(pictures) == 1 and (film or Path(pictures[0]).suffix.lower() in _FILMS):
        work.film(pictures[0], {name: each for name, each in of_film.items() if each is not None}, preview)
        return
    given = [f"--{name}" for name, each in {"steady": steady, "frames": frames, "fps": fps}.items() if each is not None]
    if given or film:
        raise ConvscopeError(f"{', '.join([*given, *['--film'] * film])} means nothing but for one film")
    work.pictures(pictures)


@dataclass(frozen=True)
class _Work:
    """What is done by one command."""

    styles: "StyleNetwork"
    options: dict[str, Any]
    size: int | None
    out: Path | None
    as_json: bool

    def film(self, source: str, of_film: dict[str, Any], preview: Path | None) -> None:
        from convscope.synthesis.stylize_film import stylize_film

        out = self.out or file_name(source, *self._said, suffix=".gif")
        try:
            with bar("stylizing") as watcher:
                watched: Watcher = watcher if preview is None else previewed(watcher, preview)
                made = stylize_film(source, **self.options, **of_film, size=self.size, out=out, progress=watched)
        except Stopped:
            say("the frames so far are kept; the same command goes on with them")
            raise
        self._tell({"file": made.path, "frames": made.frames}, [str(made.path)])

    def pictures(self, given: Sequence[str]) -> None:
        """Each for itself; one that can't be read among others is passed over, and told of in the end."""
        from convscope.image.read import read_image
        from convscope.progress import Steps

        if len(given) == 1 and not Path(given[0]).is_dir():
            path = self.out or file_name(given[0], *self._said)
            self._save(read_image(given[0], self.size), path)
            self._tell({"files": [str(path)], "unreadable": []}, [str(path)])
            return
        files, folder = _files(given), self.out or _folder(given)
        if folder.is_file() or (folder.suffix and not folder.exists()):
            raise ImageError(f"got --out {folder} for {len(files)} pictures; expected a folder, such as {folder.stem}")
        written, unreadable = [], []
        with bar("stylizing") as watcher:
            steps = Steps(len(files), watcher)
            for source, name in files:
                try:
                    image = read_image(source, self.size)
                except ImageError as error:
                    unreadable.append({"path": source, "reason": str(error)})
                else:
                    self._save(image, folder / name)
                    written.append(str(folder / name))
                steps.done()
        if not written:
            raise ImageError(f"none of {len(files)} pictures can be read; the first: {unreadable[0]['reason']}")
        self._tell({"files": written, "unreadable": unreadable}, [str(folder)])
        for each in [] if self.as_json else unreadable:
            say(f"left out {each['path']}: {each['reason']}")

    def _save(self, image: "Tensor", path: Path) -> None:
        from convscope.synthesis.stylize import stylize as stylized

        stylized(image, **self.options).save(path)

    def _tell(self, told: dict[str, Any], lines: Sequence[str]) -> None:
        typer.echo(json.dumps(told, ensure_ascii=False) if self.as_json else "\n".join(lines))

    @property
    def _said(self) -> list[str]:
        """The styles, as a file's name has them."""
        return list(self.options.get("style", self.styles.styles[:1]))[:3]


def _weights(given: Sequence[str] | None) -> dict[str, float] | None:
    """Weights by name.

    >>> _weights(["waves:2", "dots"])
    {'waves': 2.0, 'dots': 1.0}
    """
    if not given:
        return None
    weights: dict[str, float] = {}
    for text in given:
        name, colon, weight = text.rpartition(":")
        try:
            weights[name if colon else text] = float(weight) if colon else 1.0
        except ValueError:
            raise ConvscopeError(
                f"can't understand --style {text!r}; expected NAME, or NAME:WEIGHT as waves:2"
            ) from None
    return weights


def _files(given: Sequence[str]) -> list[tuple[str, str]]:
    """Pictures, and where each is written in a folder: by its own name as PNG, with a number if that is taken."""
    found: list[tuple[str, str]] = []
    taken: set[str] = set()
    for source in given:
        for file, stem in _pictures_below(Path(source)) if Path(source).is_dir() else [(source, Path(source).stem)]:
            name, number = stem, 2
            while name.lower() in taken:
                name, number = f"{stem}-{number}", number + 1
            taken.add(name.lower())
            found.append((file, f"{name}.png"))
    return found


def _pictures_below(folder: Path) -> list[tuple[str, str]]:
    """The pictures of a folder and of those in it, and their paths within it without suffix."""
    from convscope.image.sources import read_folder

    found = read_folder(folder)
    paths = [*(each.path for each in found.photographs), *(each.path for each in found.unreadable)]
    return [(str(path), str(path.relative_to(folder).with_suffix(""))) for path in paths]


def _folder(given: Sequence[str]) -> Path:
    """Where several pictures are written, if nothing is said."""
    return Path(f"{Path(given[0]).resolve().name if len(given) == 1 else 'pictures'}-stylized")
