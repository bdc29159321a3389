"""Films dreamt frame by frame, what was dreamt carried over from each to the next."""

from collections.abc import Iterator
from dataclasses import replace

from torch import Generator, Tensor

from convscope.errors import ImageError
from convscope.image.film import Film, open_film
from convscope.image.recipe import JSON, Recipe
from convscope.network.network import Network
from convscope.progress import Watcher
from convscope.synthesis.dreaming import Dreaming, Wanted, dream_objective, manner_for
from convscope.synthesis.filming import DreamFilm, Place, check_filmed, filmed, input_of, length_of


def dream_film(
    network: Network,
    film: Film | Place,
    target: Wanted = None,
    *,
    keep: float = 0.7,
    frames: int | None = None,
    out: Place | None = None,
    frames_per_second: float | None = None,
    guide: Tensor | None = None,
    octaves: int = 3,
    scale: float = 1.4,
    steps: int = 5,
    jitter: int = 32,
    rate: float = 1.5 / 255,
    tile: int | None = None,
    seed: int = 0,
    progress: Watcher | None = None,
) -> DreamFilm:
    """A film dreamt frame by frame.

        dreamₙ = dream(frameₙ + keep · (dreamₙ₋₁ − frameₙ₋₁))

    Dreamt each by itself, frames would flicker: a little change at the beginning leads to another dream. So what was
    added to the last frame is kept, for the most part. It is that alone which is carried over and not the last dream
    itself, since of that, where something moves, a ghost would be left behind.

    Parameters
    ----------
    film
        As `open_film` returns it, or what it opens: a video, an animation, or a folder of pictures.
    keep
        How much of what was added stays, from 0 (none) to 1. Each frame adds to it again, up to about 1 / (1 − keep)
        times what one adds.
    frames
        So many of the film at most; by default all.
    frames_per_second
        By default the film's own.
    seed
        Of the random numbers, the same for every frame.
    target, guide, octaves, scale, steps, jitter, rate, tile, out, progress
        As for `zoom_dream`.

    Raises
    ------
    StepFailed, Cancelled
        With the frame that was being dreamt in `so_far`; those before it are kept in the folder.
    ImageError, LayerError, TargetError, NetworkError, MissingExtra

    >>> import tempfile, torch
    >>> import convscope as cs
    >>> from convscope.image.film import write_film
    >>> from convscope.synthesis.dream_film import dream_film
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_film(folder + "/rising.gif", (torch.full((3, 64, 96), level / 4) for level in range(3)))
    ...     dreamt = dream_film(cs.load("efficientnet-lite0"), folder + "/rising.gif", octaves=1, steps=1)
    >>> dreamt.frames
    3
    """
    opened = film if isinstance(film, Film) else open_film(film)
    total = length_of(opened) if frames is None else min(frames, length_of(opened))
    check_filmed(network, total)
    if not 0 <= keep <= 1:
        raise ImageError(f"got keep={keep}, expected 0 (none of what was dreamt) to 1 (all of it)")
    texts, objective = dream_objective(network, target, guide)
    manner = manner_for(
        network, objective, opened.size, tile=tile, octaves=octaves, scale=scale, steps=steps, jitter=jitter, rate=rate
    )
    speed = opened.frames_per_second if frames_per_second is None else frames_per_second
    told: dict[str, JSON] = {
        "target": texts, "guide": None if guide is None else "image", "keep": keep, "frames_per_second": speed,
        **manner.parameters(),
    }  # fmt: skip
    own = input_of(opened)

    def recipe_of(number: int) -> Recipe:
        made = network.recipe(
            "dream_film", {**told, "frames": number}, images=[] if guide is None else [guide], seed=seed
        )
        return replace(made, inputs=(own, *made.inputs))

    with opened:
        return filmed(
            Dreaming(network, objective, manner),
            _Following(iter(opened), keep, network.channels),
            recipe_of,
            frames=total,
            out=out,
            frames_per_second=speed,
            draw=lambda number: Generator().manual_seed(seed),
            progress=progress,
        )


class _Following:
    """What each frame is dreamt from: itself, and what was added to the one before."""

    def __init__(self, frames: Iterator[Tensor], keep: float, channels: int) -> None:
        self._frames, self._keep, self._channels = frames, keep, channels
        self._before: Tensor | None = None

    def __call__(self, last: Tensor | None) -> Tensor:
        frame = next(self._frames)
        frame = frame.mean(dim=0, keepdim=True) if self._channels == 1 else frame
        before, self._before = self._before, frame
        return frame if last is None or before is None else (frame + self._keep * (last - before)).clamp(0, 1)
