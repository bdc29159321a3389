"""Films stylized frame by frame, steadied where nothing moves."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from convscope.errors import ImageError
from convscope.image.film import Film, open_film
from convscope.image.recipe import Recipe
from convscope.image.resize import resize
from convscope.image.write import to_picture
from convscope.network.engine import EngineName
from convscope.progress import Steps, Watcher
from convscope.render.result import Pictured
from convscope.synthesis.fast_style.stylizing import Colour, NetworkLike, Styles, Stylizing
from convscope.synthesis.filming import Place, frames_kept, input_of, length_of
from convscope.synthesis.synthesized import as_files_hold

# A change is judged by its mean square over so many pixels in each direction: noise is then alike everywhere.
_SEEN = 9
# What changes by more than noise does, by this much, is hardly blended any more.
_MOVES = 0.02
# Noise is how much the half of the picture changes that changes least; but no more than this, lest a moving camera be
# taken for noise.
_NOISE = 0.04


@dataclass(frozen=True, kw_only=True)
class StylizedFilm(Pictured):
    """A film that was stylized: `frames` of them, in the file or folder `path`, or kept nowhere if that is None.

    `image` `(3, H, W)` in [0, 1] is the last, and the recipe is that of the whole film.
    """

    image: Tensor
    frames: int
    path: str | None
    recipe: Recipe

    def picture(self) -> Image.Image:
        """The last frame."""
        return to_picture(self.image)


def stylize_film(
    film: Film | Place,
    style: Styles = None,
    *,
    network: NetworkLike = None,
    colour: Colour = "style",
    steady: float = 0.7,
    size: int | None = None,
    frames: int | None = None,
    frames_per_second: float | None = None,
    out: Place | None = None,
    engine: EngineName = "auto",
    progress: Watcher | None = None,
) -> StylizedFilm:
    """A film in the manner of pictures, frame by frame.

        x̄ₙ = xₙ + kₙ (x̄ₙ₋₁ − xₙ),  yₙ = f(x̄ₙ) + kₙ (yₙ₋₁ − f(x̄ₙ)),  kₙ = steady · exp(−(dₙ / 0.02)²)

    Networks make much of little: what is noise in the film would flicker in the picture. So both what the network sees
    and what it makes are blended with what was there before, at each place by how far the film has come since, d: the
    root of the mean square of the change near by, less the noise there is. Where something moves nothing is blended, so
    that it leaves no ghost; and since the change is that from the blend, not from the last frame, what moves slowly
    leaves none either.

    Parameters
    ----------
    film
        As `open_film` returns it, or what it opens: a video, an animation, or a folder of pictures.
    steady
        From 0 (each frame by itself) to less than 1.
    size
        Longer side in pixels at most; by default the film's own.
    frames
        So many of the film at most; by default all.
    frames_per_second
        By default the film's own.
    out
        A file (.gif, .webp, .mp4, .webm) or a folder; None keeps the last frame only. Until a file is whole, its frames
        lie beside it in the folder NAME-frames: what was stopped goes on there.
    progress
        Called after each frame; returning False stops.
    style, network, colour, engine
        As for `stylize`.

    Raises
    ------
    ImageError
        The film can't be read, or `out` can't be written, or what is there are frames of something else.
    Cancelled
        The frames so far are kept, after any of these.
    WeightsError, NetworkError, MissingExtra

    >>> import tempfile, torch
    >>> from convscope.image.film import write_film
    >>> from convscope.synthesis.fast_style.style_network import Architecture, StyleNetwork
    >>> untrained = StyleNetwork(["waves"], Architecture(width=4, blocks=1))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_film(folder + "/noise.gif", torch.rand(3, 3, 48, 64))
    ...     stylize_film(folder + "/noise.gif", network=untrained, out=folder + "/waves.gif").frames
    3
    """
    if not 0 <= steady < 1:
        raise ImageError(f"got steady={steady}, expected 0 (each frame by itself) to less than 1, such as 0.7")
    if (frames is not None and frames < 1) or (size is not None and size < 1):
        raise ImageError(f"got frames={frames} and size={size}, expected whole numbers of at least 1")
    stylizing = Stylizing(network, style, colour, engine)
    opened = film if isinstance(film, Film) else open_film(film)
    rows, columns = _fitted(opened.size, size)
    stylizing.check_memory((rows, columns))
    total = min(frames or length_of(opened), length_of(opened))
    speed = opened.frames_per_second if frames_per_second is None else frames_per_second
    own = input_of(opened)

    def recipe_of(number: int) -> Recipe:
        told = {"steady": steady, "size": size, "frames": number, "frames_per_second": speed}
        return stylizing.recipe("stylize_film", told, (own,))

    last: Tensor | None = None
    with opened, frames_kept(out, speed, recipe_of, total, 3) as kept:
        there = kept.count()
        steps = Steps(total - there, progress)
        shown = (resize(frame, (rows, columns)) for frame in islice(opened, total))
        for number, (seen, blend) in enumerate(_steadied(shown, steady), 1):
            if number <= there:
                last = kept.read(number)
                continue
            made = stylizing(seen)
            last = as_files_hold(made if last is None else torch.lerp(made, last, blend))
            kept.add(number, last)
            steps.done(preview=last)
    assert last is not None
    return StylizedFilm(image=last, frames=total, path=None if out is None else os.fspath(out), recipe=recipe_of(total))


def _steadied(frames: Iterable[Tensor], steady: float) -> Iterator[tuple[Tensor, Tensor]]:
    """What the network is to see of each frame, and how much of what was there before stays at each place."""
    mean: Tensor | None = None
    for frame in frames:
        blend = frame.new_zeros(frame.shape[1:]) if mean is None else steady * _stillness(frame - mean)
        mean = frame if mean is None else torch.lerp(frame, mean, blend)
        yield mean, blend


def _stillness(change: Tensor) -> Tensor:
    """1 where a change `(C, H, W)` is no more than noise, towards 0 where it is more."""
    squares = change.square().mean(dim=0)[None, None]
    near = F.avg_pool2d(squares, _SEEN, stride=1, padding=_SEEN // 2, count_include_pad=False)[0, 0].sqrt()
    moved = near - near.median().clamp(max=_NOISE)
    return (-(moved.clamp(min=0) / _MOVES).square()).exp()


def _fitted(size: tuple[int, int], longest: int | None) -> tuple[int, int]:
    """Rows and columns of frames, the longer at most so many."""
    if longest is None or max(size) <= longest:
        return size
    rows, columns = (max(1, round(side * longest / max(size))) for side in size)
    return rows, columns
