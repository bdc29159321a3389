"""Films made frame by frame, each from the last: what a stop leaves behind is gone on with.

Frames are kept as PNGs in a folder, each with the recipe that makes it: frame 12 is what a film of 12 frames ends with.
Each begins from the last as its file holds it, in steps of 1/255, so that a film that was stopped and gone on with is
the same to the pixel as one that was not.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Generator, Tensor

from convscope.errors import ImageError, RecipeError
from convscope.image.film import Film, film_writer
from convscope.image.film.read import pictures_in
from convscope.image.read import read_image
from convscope.image.recipe import Input, Recipe
from convscope.image.write import read_recipe, to_picture, write_png
from convscope.network.network import Network
from convscope.progress import Steps, Watcher
from convscope.render.result import Pictured
from convscope.synthesis.dreaming import Dreaming
from convscope.synthesis.synthesized import as_files_hold

Place = str | os.PathLike[str]
# From the last frame, None before the first, to what the next is dreamt from; called for frames that are there, too.
Start = Callable[[Tensor | None], Tensor]
# From a frame's number, counted from 1, to the recipe that makes it.
RecipeOf = Callable[[int], Recipe]


@dataclass(frozen=True, kw_only=True)
class DreamFilm(Pictured):
    """A film that was dreamt: `frames` of them, in the file or folder `path`, or kept nowhere if that is None.

    `image` `(C, H, W)` in [0, 1] is the last, and the recipe is that of the whole film.
    """

    image: Tensor
    frames: int
    path: str | None
    recipe: Recipe

    def picture(self) -> Image.Image:
        """The last frame."""
        return to_picture(self.image)


def filmed(
    dreaming: Dreaming,
    start: Start,
    recipe_of: RecipeOf,
    *,
    frames: int,
    out: Place | None,
    frames_per_second: float,
    draw: Callable[[int], Generator],
    progress: Watcher | None,
) -> DreamFilm:
    """Dream so many frames, beginning behind those that are there already; `draw` gives a frame's random numbers.

    Raises
    ------
    StepFailed, Cancelled
        With the frame that was being dreamt in `so_far`; those before it are kept.
    ImageError
        `out` can't be written, or what is there are frames of something else.
    """
    last: Tensor | None = None
    with frames_kept(out, frames_per_second, recipe_of, frames, dreaming.channels) as kept, torch.inference_mode(False):
        there = kept.count()
        steps = Steps((frames - there) * dreaming.steps, progress)
        for number in range(1, frames + 1):
            begun = start(last)
            if number <= there:
                last = kept.read(number)
            else:
                last = as_files_hold(dreaming(begun, draw(number), steps)[0])
                kept.add(number, last)
    assert last is not None
    return DreamFilm(image=last, frames=frames, path=None if out is None else os.fspath(out), recipe=recipe_of(frames))


def check_filmed(network: Network, frames: int) -> None:
    """Raise ImageError for no frames, or for images that files of frames can't hold."""
    if frames < 1:
        raise ImageError(f"got frames={frames}, expected a whole number of at least 1")
    if network.channels not in (1, 3):
        raise ImageError(f"got a network of {network.channels} channels; films are grey or have three colours")


def length_of(film: Film) -> int:
    """How many frames it has; where no header tells, by decoding them."""
    return film.frames if film.frames is not None else sum(1 for _ in film)


def input_of(film: Film) -> Input:
    """The film as an input: by its file's checksum, or that of all files of a folder."""
    path = Path(film.path)
    digest = hashlib.sha256()
    for file in pictures_in(path) if path.is_dir() else [path]:
        digest.update(Path(file).read_bytes())
    return Input(Path(os.path.abspath(path)).name, digest.hexdigest())


@dataclass(frozen=True)
class Kept:
    """Where frames are kept: in a folder, and from there in a film; or nowhere."""

    folder: Path | None
    write: Callable[[Tensor], None] | None
    recipe_of: RecipeOf
    frames: int
    channels: int

    def count(self) -> int:
        """How many frames are there, from the first on. Raises ImageError if they are of something else."""
        there = 0
        while self.folder is not None and (path := self._path(there + 1)).exists():
            there += 1
            self._check(path, there)
        return there

    def read(self, number: int) -> Tensor:
        frame = read_image(self._path(number), channels=self.channels)
        if self.write is not None:
            self.write(frame)
        return frame

    def add(self, number: int, frame: Tensor) -> None:
        if self.folder is not None:
            write_png(self._path(number), to_picture(frame), self.recipe_of(number))
        if self.write is not None:
            self.write(frame)

    def remove(self) -> None:
        """The frames are in the film now."""
        for number in range(1, self.count() + 1):
            self._path(number).unlink()
        if self.folder is not None:
            with suppress(OSError):  # something else is in it
                self.folder.rmdir()

    def _path(self, number: int) -> Path:
        assert self.folder is not None
        return self.folder / f"frame-{number:05}.png"

    def _check(self, path: Path, number: int) -> None:
        try:
            same = read_recipe(path) == self.recipe_of(number)
        except RecipeError:
            same = False
        if not same or number > self.frames:
            reason = "was made with other parameters, inputs or version" if not same else "lies beyond the last frame"
            raise ImageError(
                f"can't go on in {str(path.parent)!r}: {path.name} {reason}; remove the frames there, or name another "
                "place"
            )


@contextmanager
def frames_kept(
    out: Place | None, frames_per_second: float, recipe_of: RecipeOf, frames: int, channels: int
) -> Iterator[Kept]:
    """Frames in the folder `out`, or for a film in a folder beside it, which goes when the film is whole."""
    place = None if out is None else Path(out)
    if place is None or not place.suffix or place.is_dir():
        yield Kept(place, None, recipe_of, frames, channels)
        return
    folder = place.with_name(f"{place.stem}-frames")
    with film_writer(place, frames_per_second=frames_per_second, recipe=recipe_of(frames)) as write:
        kept = Kept(folder, write, recipe_of, frames, channels)
        yield kept
    kept.remove()
