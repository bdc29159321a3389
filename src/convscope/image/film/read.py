"""Opening a film, whatever it is kept in."""

import os
import re
from pathlib import Path

from convscope.errors import ImageError
from convscope.image.film.animation import ANIMATIONS, open_animation
from convscope.image.film.film import Film, Frames, check_rate
from convscope.image.film.video import MAYBE_VIDEO, open_video
from convscope.image.formats import HEAD, identify
from convscope.image.read import PIXEL_LIMIT, read_image
from convscope.image.source.folder import PICTURE_SUFFIXES

READABLE_FILMS = "a video (.mp4, .mov, .webm …), an animated GIF, WebP or PNG, or a folder of pictures"
"""What can be opened, in words for messages."""
_FOLDERS_RATE = 25.0


def open_film(
    path: str | os.PathLike[str], *, frames_per_second: float | None = None, pixel_limit: int = PIXEL_LIMIT
) -> Film:
    """Open a film: a video file, an animated GIF, WebP or PNG, or a folder of pictures in the order of their numbers.

    Its frames are images (3, H, W), float32 in [0, 1], decoded one at a time. They come upright, as phones note it, and
    laid over white where they are transparent. A video without a note on its colours is taken for BT.709 from 720 rows
    on and BT.601 below, as players do. In a folder `9.png` comes before `10.png`; all its pictures must have one size.

    Parameters
    ----------
    frames_per_second
        Used in place of the file's own rate. A folder has none of its own: without it, 25.
    pixel_limit
        The most pixels a frame may have.

    Raises
    ------
    ImageError
        For what is missing, is no film, has no frames, or whose first frame can't be decoded; later ones are tried when
        they are asked for.
    MissingExtra
        For a video, if PyAV is not installed.

    >>> import tempfile, torch
    >>> from convscope.image.film import write_film
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_film(folder + "/fade.gif", (torch.full((3, 4, 6), level / 9) for level in range(10)))
    ...     with open_film(folder + "/fade.gif") as film:
    ...         film.size, film.frames, film.frames_per_second, [round(frame.mean().item(), 1) for frame in film][:3]
    ((4, 6), 10, 25.0, [0.0, 0.1, 0.2])
    """
    if frames_per_second is not None:
        check_rate(frames_per_second)
    place = Path(path)
    if place.is_dir():
        return _open_folder(place, frames_per_second or _FOLDERS_RATE, pixel_limit)
    kind = kind_of_film(place)
    if kind in ANIMATIONS:
        return open_animation(place, kind, frames_per_second, pixel_limit)
    return open_video(place, frames_per_second, pixel_limit)


def kind_of_film(file: Path) -> str:
    """What a file is, in the words of `identify`. Raises ImageError for what can't be a film."""
    try:
        with file.open("rb") as stream:
            kind = identify(stream.read(HEAD))
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"can't read {str(file)!r}: {reason}; expected {READABLE_FILMS}") from error
    if kind not in ANIMATIONS and kind not in MAYBE_VIDEO:
        raise ImageError(f"can't read {str(file)!r} as a film: it is {kind}; expected {READABLE_FILMS}")
    return kind


def pictures_in(folder: Path) -> list[Path]:
    """The picture files right in a folder, by the numbers in their names. Raises ImageError if there are none.

    Hidden files are passed over.
    """
    try:
        names = [each.name for each in folder.iterdir() if each.is_file()]
    except OSError as error:
        raise ImageError(f"can't read {str(folder)!r}: {error.strerror or error}") from error
    names = [each for each in names if each.lower().endswith(PICTURE_SUFFIXES) and not each.startswith(".")]
    if not names:
        raise ImageError(f"there is no picture right in {str(folder)!r}; expected the frames of a film, a file each")
    return [folder / each for each in sorted(names, key=_numbered)]


def _open_folder(folder: Path, frames_per_second: float, pixel_limit: int) -> Film:
    files = pictures_in(folder)

    def decode() -> Frames:
        for file in files:
            yield read_image(file, pixel_limit=pixel_limit)

    return Film(folder, decode, frames_per_second=frames_per_second, frames=len(files))


def _numbered(name: str) -> tuple[list[tuple[int, str]], str]:
    """A key that sorts 9 before 10; the name itself settles 1 against 01."""
    parts = re.split(r"(\d+)", name.lower())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], name
