"""Writing films, frame by frame."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from fractions import Fraction
from functools import partial
from itertools import count
from pathlib import Path
from typing import NamedTuple, TypeAlias

from PIL import Image
from torch import Tensor

from convscope.errors import ImageError
from convscope.image.film.film import check_rate
from convscope.image.film.gif import gif_sink
from convscope.image.film.sink import Add, Encoding, Sink, Size
from convscope.image.film.video import MP4, WEBM, check_encoder, video_sink
from convscope.image.film.webp import webp_sink
from convscope.image.recipe import Recipe
from convscope.image.write import atomic_path, to_picture, write_png

Write: TypeAlias = Callable[[Tensor], None]
"""Writes one more frame, an image (C, H, W)."""

_WRITABLE = ".mp4, .webm, .gif, .webp, or a name without suffix for a folder of pictures"
# Keeps rates such as 30000/1001 as they are.
_RATES_OVER = 1001


class _Container(NamedTuple):
    sink: Sink
    check: Callable[[], None]
    """Raises if it can't be written here."""
    fastest: float
    """Frames a second that players follow."""


def write_film(
    path: str | os.PathLike[str],
    frames: Iterable[Tensor],
    *,
    frames_per_second: float = 25.0,
    loop: bool = True,
    quality: int = 90,
    recipe: Recipe | None = None,
) -> None:
    """Write a film of `frames`, which are taken one at a time, so that thousands need no more memory than a few.

    The suffix of `path` says how: `.mp4` (H.264) and `.webm` (VP9), which need the extra `video`, `.gif` and `.webp`.
    Such a file is there when it is whole, not before. A name without a suffix is a new or empty folder, where each
    frame becomes a PNG, `frame-00001.png` and so on, at once and without loss.

    Parameters
    ----------
    frames
        Images (C, H, W) in [0, 1], all of one size; what is outside is clipped, and other channels than grey or colours
        are shown as `to_picture` does. Videos have even sides: to an odd one the last row or column is added again.
        A GIF has 256 colours a frame.
    frames_per_second
        At most 50 for a GIF and 90 for a WebP, since browsers slow down what is faster. A folder has no rate.
    loop
        Whether a GIF or WebP starts again when it ends. Of a video, the player decides.
    quality
        1 … 100, of videos (90 is a rate factor of 18 in MP4 and 24 in WebM, one more for each step below) and WebP.
    recipe
        Kept in the film: see `read_film_recipe`.

    Raises
    ------
    ImageError
        For a suffix that is none of these, an option out of range, no frames, a frame that is no image or of another
        size, and if the film can't be written.
    MissingExtra
        For a video, if PyAV is not installed.

    >>> import tempfile, torch
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_film(folder + "/fade", (torch.full((3, 4, 6), level / 9) for level in range(10)))
    ...     print(sorted(os.listdir(folder + "/fade"))[-1])
    frame-00010.png
    """
    with film_writer(path, frames_per_second=frames_per_second, loop=loop, quality=quality, recipe=recipe) as write:
        for frame in frames:
            write(frame)


@contextmanager
def film_writer(
    path: str | os.PathLike[str],
    *,
    frames_per_second: float = 25.0,
    loop: bool = True,
    quality: int = 90,
    recipe: Recipe | None = None,
) -> Iterator[Write]:
    """The same for frames that come one by one: a context manager that gives the function to write each with.

    If the context is left by an exception, no file is written; of a folder, the frames so far stay.

    >>> import tempfile, torch
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with film_writer(folder + "/fade.gif") as write:
    ...         for level in range(10):
    ...             write(torch.full((3, 4, 6), level / 9))
    ...     print(os.listdir(folder))
    ['fade.gif']
    """
    check_rate(frames_per_second)
    if not 1 <= quality <= 100:
        raise ImageError(f"got quality={quality}, expected 1 (small) to 100 (good)")
    sink, place = _prepared(path, frames_per_second)
    rate = Fraction(frames_per_second).limit_denominator(_RATES_OVER)
    encoding = Encoding(frames_per_second=rate, loop=loop, quality=quality, recipe=recipe)
    with place as temporary, ExitStack() as opened:
        writer = _Writer(os.fspath(path), lambda size: opened.enter_context(sink(temporary, size, encoding)))
        yield writer.write
        if not writer.written:
            raise ImageError(f"can't write {os.fspath(path)!r}: got no frames, expected at least one")


class _Writer:
    """Begins the film with the first frame, which tells the size, and holds the others to it."""

    def __init__(self, path: str, begin: Callable[[Size], Add]) -> None:
        self.written = 0
        self._path, self._begin = path, begin
        self._size: Size | None = None
        self._add: Add | None = None

    def write(self, frame: Tensor) -> None:
        try:
            picture = self._checked(frame)
            if self._add is None:
                self._add = self._begin((picture.height, picture.width))
        except ImageError as error:
            raise ImageError(f"can't write frame {self.written + 1} of {self._path!r}: {error}") from error
        self._add(picture)
        self.written += 1

    def _checked(self, frame: Tensor) -> Image.Image:
        picture = to_picture(frame)
        size = picture.height, picture.width
        if self._size is None:
            self._size = size
        elif size != self._size:
            raise ImageError(
                f"it has {size[0]} rows and {size[1]} columns, expected {self._size[0]} and {self._size[1]} "
                "as the first has: bring them to one size"
            )
        return picture


def _prepared(path: str | os.PathLike[str], frames_per_second: float) -> tuple[Sink, AbstractContextManager[Path]]:
    """What writes to `path`, and the place that it writes to. Raises if it can't."""
    target = Path(path)
    if not target.suffix or target.is_dir():
        return _folder_sink, _new_folder(target)
    container = _CONTAINERS.get(target.suffix.lower())
    if container is None:
        raise ImageError(f"can't write {str(target)!r}: got the suffix {target.suffix}, expected {_WRITABLE}")
    if frames_per_second > container.fastest:
        raise ImageError(
            f"can't write {str(target)!r}: got frames_per_second={frames_per_second:g}, expected at most "
            f"{container.fastest:g}, since browsers slow down what is faster: lower it, or write .mp4"
        )
    container.check()
    return container.sink, atomic_path(path)


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        there = next(folder.glob("frame-*.png"), None)
    except OSError as error:
        raise ImageError(f"can't write to the folder {str(folder)!r}: {error.strerror or error}") from error
    if there is not None:
        # Else a shorter film would end with the frames of the one before.
        raise ImageError(
            f"can't write to the folder {str(folder)!r}: it holds {there.name}; expected one without frames: "
            "remove them, or name another"
        )
    yield folder


@contextmanager
def _folder_sink(folder: Path, size: Size, encoding: Encoding) -> Iterator[Add]:
    numbers = count(1)

    def add(picture: Image.Image) -> None:
        write_png(folder / f"frame-{next(numbers):05}.png", picture, encoding.recipe)

    yield add


def _nothing() -> None:
    """What containers need that Pillow writes."""


_CONTAINERS = {
    ".mp4": _Container(partial(video_sink, codec=MP4), partial(check_encoder, MP4), 1000),
    ".webm": _Container(partial(video_sink, codec=WEBM), partial(check_encoder, WEBM), 1000),
    ".gif": _Container(gif_sink, _nothing, 50),
    ".webp": _Container(webp_sink, _nothing, 90),
}
