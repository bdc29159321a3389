"""Zooming dreams: each frame dreamt from the last, a little nearer."""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from convscope.errors import ImageError
from convscope.image.recipe import JSON, Recipe
from convscope.network.network import Network
from convscope.progress import Watcher
from convscope.synthesis.dreaming import Dreaming, Wanted, check_photograph, dream_objective, manner_for
from convscope.synthesis.filming import DreamFilm, Place, check_filmed, filmed
from convscope.synthesis.transforms.transform import rotation, scaling


def zoom_dream(
    network: Network,
    image: Tensor,
    target: Wanted = None,
    *,
    frames: int = 60,
    zoom: float = 1.05,
    rotate: float = 0.0,
    out: Place | None = None,
    frames_per_second: float = 12.0,
    guide: Tensor | None = None,
    octaves: int = 3,
    scale: float = 1.4,
    steps: int = 5,
    jitter: int = 32,
    rate: float = 1 / 255,
    tile: int | None = None,
    seed: int = 0,
    progress: Watcher | None = None,
) -> DreamFilm:
    """A film that falls into a photograph and sees ever more in it.

        frame₁ = dream(photograph),  frameₙ = dream(zoom(frameₙ₋₁))

    After Mordvintsev et al. (2015). What is dreamt grows out of the picture's middle while new things appear in it.

    Parameters
    ----------
    image
        `(C, H, W)` in [0, 1]; the frames have its size.
    frames
        How many. A film of 30 is the beginning of one of 60.
    zoom, rotate
        How much larger, and by how many degrees counter-clockwise turned, each frame shows the last one.
    out
        Where to write it: `.mp4` or `.webm` (with the extra `video`), `.gif`, `.webp`, or a name without suffix for a
        folder of frames. Dreaming that was stopped goes on behind the frames that are there: of a film, they are in
        the folder `NAME-frames` beside it until it is whole. None keeps the last frame alone.
    frames_per_second
        Of the film.
    target, guide, octaves, scale, steps, jitter, rate, tile
        Of each frame, as for `dream`; fewer and smaller steps than there, since every frame adds to the last.
    seed
        Of the first frame's random numbers; frame n has seed + n − 1.
    progress
        Called after each step of each frame; returning False stops.

    Raises
    ------
    StepFailed, Cancelled
        With the frame that was being dreamt in `so_far`; those before it are kept in the folder.
    ImageError, LayerError, TargetError, NetworkError, MissingExtra

    >>> import convscope as cs
    >>> from convscope.synthesis.zoom_dream import zoom_dream
    >>> net, cat = cs.load("efficientnet-lite0"), cs.read_image("chelsea", 96)
    >>> zoom_dream(net, cat, frames=2, octaves=1, steps=1).frames
    2
    """
    check_photograph(network, image)
    check_filmed(network, frames)
    if not 1 <= zoom <= 4:
        raise ImageError(f"got zoom={zoom}, expected 1 (none) to 4, such as 1.05")
    texts, objective = dream_objective(network, target, guide)
    size = (image.shape[-2], image.shape[-1])
    manner = manner_for(
        network, objective, size, tile=tile, octaves=octaves, scale=scale, steps=steps, jitter=jitter, rate=rate
    )
    told: dict[str, JSON] = {
        "target": texts, "guide": None if guide is None else "image", "zoom": zoom, "rotate": rotate,
        "frames_per_second": frames_per_second, **manner.parameters(),
    }  # fmt: skip

    def recipe_of(number: int) -> Recipe:
        images = [image] if guide is None else [image, guide]
        return network.recipe("zoom_dream", {**told, "frames": number}, images=images, seed=seed)

    return filmed(
        Dreaming(network, objective, manner),
        lambda last: image.float() if last is None else nearer(last, zoom, rotate),
        recipe_of,
        frames=frames,
        out=out,
        frames_per_second=frames_per_second,
        draw=lambda number: Generator().manual_seed(seed + number - 1),
        progress=progress,
    )


def nearer(image: Tensor, zoom: float, degrees: float) -> Tensor:
    """The image `(C, H, W)` about its middle, `zoom` times as large and turned; mirrored where nothing is.

    >>> nearer(torch.eye(4)[None], 1, 90)[0].round().abs()
    tensor([[0., 0., 0., 1.],
            [0., 0., 1., 0.],
            [0., 1., 0., 0.],
            [1., 0., 0., 0.]])
    """
    rows, columns = image.shape[-2:]
    # From pixels about the middle to grid_sample's coordinates, which end at ±1 on the image's edges.
    halves = torch.tensor([columns / 2, rows / 2, 1.0], dtype=torch.float64)
    matrix = (scaling(zoom) @ rotation(degrees) * halves / halves[:, None])[:2]
    grid = F.affine_grid(matrix[None].to(image), [1, 1, rows, columns], align_corners=False)
    seen = F.grid_sample(image[None], grid, mode="bicubic", padding_mode="reflection", align_corners=False)
    return seen[0].clamp(0, 1)
