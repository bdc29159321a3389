"""Pictures too large for memory as Deep Zoom images: tiles at every scale, and a page of our own that shows them."""

import html
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import Literal, get_args

from PIL import Image

from convscope.errors import ImageError, nearest
from convscope.progress import Steps, Watcher

Format = Literal["jpeg", "png"]

TILE, OVERLAP = 256, 1
"""Pixels of a tile, and by how many it reaches into each of its neighbours."""

_DESCRIPTION = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<Image xmlns="http://schemas.microsoft.com/deepzoom/2008" '
    'Format="{suffix}" Overlap="{overlap}" TileSize="{tile}"><Size Width="{width}" Height="{height}"/></Image>\n'
)
_OWN = "map.dzi"
_NAMED = 50_000
"""Pictures up to which the page can tell their names."""


def write_deep_zoom(
    folder: str | os.PathLike[str],
    size: tuple[int, int],
    draw: Callable[[tuple[int, int, int, int]], Image.Image],
    *,
    title: str,
    squares: Sequence[tuple[int, int, str, int]] = (),
    side: int = 0,
    legend: Sequence[tuple[tuple[int, int, int], str]] = (),
    format: Format = "jpeg",
    progress: Watcher | None = None,
) -> None:
    """Write a picture of `size` (width, height) that `draw` gives box by box, and a page to look at it.

    The layout is that of Microsoft's Deep Zoom: `map.dzi`, `map_files/LEVEL/COLUMN_ROW.jpg`, each level half the one
    above. Boxes are strips of 256 rows in order from the top, so that no more than a few strips are held.

    Parameters
    ----------
    squares, side
        Left and upper edge, name and class (a place in `legend`, or −1) of each thing of that side on the picture,
        the lowest first: the page names what is pointed at. Names of more than 50,000 are left out.
    legend
        Colours and what they mean.

    Raises
    ------
    ImageError
        The folder holds something else than such a picture, or can't be written; an unknown format.
    Cancelled
        `progress`, called after each strip, returned False. The folder is then as it was.
    """
    if format not in get_args(Format):
        raise ImageError(f"unknown format of tiles {format!r}; {nearest(format, get_args(Format))}")
    suffix = {"jpeg": "jpg", "png": "png"}[format]
    width, height = size
    steps = Steps(-(-height // TILE), progress)
    with _whole_folder(Path(folder)) as within:
        top = _levels(within / "map_files", width, height, suffix)
        for upper in range(0, height, TILE):
            top.add(draw((0, upper, width, min(height, upper + TILE))))
            steps.done()
        told = {"suffix": suffix, "overlap": OVERLAP, "tile": TILE, "width": width, "height": height}
        (within / _OWN).write_text(_DESCRIPTION.format(**told), encoding="utf-8")
        named = squares if len(squares) <= _NAMED else ()
        described = {**told, "levels": top.number, "side": side, "squares": named}
        (within / "index.html").write_text(_page(title, described, legend), encoding="utf-8")


class _Level:
    """One scale of the picture: takes it from the top, writes tiles as soon as they are whole, and halves it."""

    def __init__(self, folder: Path, number: int, width: int, height: int, suffix: str, below: "_Level | None") -> None:
        self.number = number
        self._folder, self._suffix, self._below = folder / str(number), suffix, below
        self._width, self._height = width, height
        self._held, self._from = Image.new("RGB", (width, 0)), 0
        self._odd = Image.new("RGB", (width, 0))
        self._next = 0
        self._folder.mkdir(parents=True)

    def add(self, rows: Image.Image) -> None:
        """Go on with these rows."""
        self._held = _joined(self._held, rows)
        reached = self._from + self._held.height
        while self._next * TILE < self._height and reached >= min(self._height, (self._next + 1) * TILE + OVERLAP):
            self._write_row(self._next)
            self._next += 1
            keep = min(self._held.height, max(0, self._next * TILE - OVERLAP - self._from))
            self._held = self._held.crop((0, keep, self._width, self._held.height))
            self._from += keep
        if self._below is not None:
            self._halve(rows, last=reached == self._height)

    def _halve(self, rows: Image.Image, *, last: bool) -> None:
        """Hand pairs of rows on as one; a row that has no second waits for it, or at the end stands for itself."""
        assert self._below is not None
        waiting = _joined(self._odd, rows)
        even = waiting.height if last else waiting.height - waiting.height % 2
        self._odd = waiting.crop((0, even, self._width, waiting.height))
        if even:
            self._below.add(waiting.crop((0, 0, self._width, even)).reduce(2))

    def _write_row(self, row: int) -> None:
        upper, lower = _span(row, self._height)
        for column in range(-(-self._width // TILE)):
            left, right = _span(column, self._width)
            tile = self._held.crop((left, upper - self._from, right, lower - self._from))
            path = self._folder / f"{column}_{row}.{self._suffix}"
            tile.save(path, quality=87)  # which PNG, that loses nothing, takes no notice of


def _span(index: int, extent: int) -> tuple[int, int]:
    """From where to where a tile reaches, with its overlap."""
    return max(0, index * TILE - OVERLAP), min(extent, (index + 1) * TILE + OVERLAP)


def _joined(upper: Image.Image, lower: Image.Image) -> Image.Image:
    if not upper.height:
        return lower
    joined = Image.new("RGB", (upper.width, upper.height + lower.height))
    joined.paste(upper, (0, 0))
    joined.paste(lower, (0, upper.height))
    return joined


def _levels(folder: Path, width: int, height: int, suffix: str) -> _Level:
    """All scales of a picture, from one pixel up; the largest, which hands on to the others."""
    sizes = [(width, height)]
    while max(sizes[-1]) > 1:
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    level: _Level | None = None
    for number, (across, down) in enumerate(reversed(sizes)):
        level = _Level(folder, number, across, down, suffix, level)
    assert level is not None
    return level


@contextmanager
def _whole_folder(folder: Path) -> Iterator[Path]:
    """A folder beside this one to write to, which takes its place at the end, or is removed on an exception."""
    target = Path(os.path.realpath(folder))
    temporary = target.with_name(f".convscope-{secrets.token_hex(8)}")
    try:
        if target.exists() and not (target.is_dir() and (not any(target.iterdir()) or (target / _OWN).is_file())):
            raise ImageError(f"{os.fspath(folder)!r} is there and holds no map; expected a new or an empty folder")
        temporary.mkdir(parents=True)
        yield temporary
        if target.exists():
            old = temporary.with_name(temporary.name + "-old")
            target.replace(old)
            temporary.replace(target)
            shutil.rmtree(old)
        else:
            temporary.replace(target)
    except OSError as error:
        raise ImageError(f"can't write {os.fspath(folder)!r}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            shutil.rmtree(temporary)


def _page(title: str, described: object, legend: Sequence[tuple[tuple[int, int, int], str]]) -> str:
    frame = files("convscope.scanning").joinpath("deep_zoom.html").read_text(encoding="utf-8")
    entries = "".join(
        f'<li><svg width="12" height="12" aria-hidden="true"><circle cx="6" cy="6" r="6" fill="rgb{colour}"/></svg> '
        f"{html.escape(name)}</li>"
        for colour, name in legend
    )
    # Within a script "<" could end it.
    data = json.dumps(described, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return (
        frame.replace("@title@", html.escape(title))
        .replace("@legend@", entries and f"<ul>{entries}</ul>")
        # Last: names of pictures may hold anything.
        .replace("@data@", data)
    )
