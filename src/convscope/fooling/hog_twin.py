"""Two pictures that look different and have one descriptor: what HOG can't see (Tatu et al. 2011)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from convscope.errors import ImageError
from convscope.fooling.class_pictures import origin
from convscope.fooling.hog import Hog, Norm, Votes
from convscope.fooling.hog_rounding import rounded, rows_of
from convscope.fooling.hog_votes import HeldVotes
from convscope.image.check import check_image
from convscope.image.networkless import recipe_of
from convscope.image.recipe import Recipe
from convscope.image.resize import fit_image
from convscope.image.write import to_picture
from convscope.progress import Steps, Watcher
from convscope.render.grid import rows
from convscope.render.result import Pictured
from convscope.render.text import number
from convscope.synthesis.optimizers.lbfgs import LBFGS

# The first descent, by votes that are shared: the width in which they are between two orientations, as a part of one;
# what being so shared costs; and its part of the steps.
_SHARED = (
    (1.0, 0.0, 0.09), (0.4, 3e-4, 0.12), (0.4, 1e-3, 0.12), (0.4, 3e-3, 0.09), (0.4, 1e-2, 0.09), (0.4, 4e-2, 0.09),
)  # fmt: skip
# The second, by votes that are held, each time anew: what leaving an orientation costs, and its part of the steps.
_HELD = ((3.0, 0.12), (3.0, 0.12), (1.0, 0.16))
# What values outside of [0, 1] cost in either.
_OUTSIDE = (1.0, 10.0)
# So many steps are worth a sweep of rounding, of which there are by default no more than these.
_STEPS_A_SWEEP, _SWEEPS = 1000, 2
_NOISE = (0.25, 0.75)
_ZOOM = 3


@dataclass(frozen=True)
class HogTwin(Pictured):
    """A picture `twin` with nearly the descriptor of another, `image`; both (C, H, W), of 8 bits.

    `start` is what the twin was made of, and `other` the photograph that `image` is compared with. `distance` is
    ‖HOG(twin) − HOG(image)‖, `apart` the same between `image` and `other`, both of the pictures as they are written.
    """

    image: Tensor
    twin: Tensor
    start: Tensor
    other: Tensor
    numbers: Hog
    recipe: Recipe

    @property
    def distance(self) -> float:
        """‖HOG(twin) − HOG(image)‖."""
        return self._between(self.twin, self.image)

    @property
    def started(self) -> float:
        """‖HOG(start) − HOG(image)‖."""
        return self._between(self.start, self.image)

    @property
    def apart(self) -> float:
        """‖HOG(other) − HOG(image)‖, of two pictures that have nothing to do with each other."""
        return self._between(self.other, self.image)

    @property
    def share(self) -> float:
        """The distance as a part of that between two unrelated pictures."""
        return self.distance / self.apart

    @property
    def likeness(self) -> float:
        """How like the two are as pictures: the correlation of their pixels."""
        pixels = torch.stack([self.image.mean(0).flatten(), self.twin.mean(0).flatten()]).double()
        return float(torch.corrcoef(pixels)[0, 1])

    @property
    def caption(self) -> str:
        """How near the descriptors are, in words."""
        return (
            f"distance of descriptors {number(self.distance)}, {self.share:.2%} of that to an unrelated picture "
            f"({number(self.apart)}); correlation of pixels {self.likeness:.2f}"
        )

    def picture(self, *, twin_only: bool = False) -> Image.Image:
        """Both pictures over their descriptors as drawn gradients; or the twin as it is."""
        if twin_only:
            return to_picture(self.twin)
        columns = {"a picture": self.image, "its twin": self.twin, "unrelated": self.other}
        drawn = [glyphs(each, self.numbers) for each in columns.values()]
        pictures = [to_picture(each).resize(drawn[0].size, Image.Resampling.BICUBIC) for each in columns.values()]
        return rows(
            [("", pictures), ("HOG", drawn)],
            column_labels=[
                "a picture", f"its twin: {number(self.distance)} away", f"an unrelated one: {number(self.apart)} away",
            ],
            title="Two pictures, one descriptor",
            note=self.caption.replace("; ", "\n"),
        )  # fmt: skip

    def _between(self, one: Tensor, other: Tensor) -> float:
        return float((self.numbers(one.double()) - self.numbers(other.double())).norm())


def hog_twin(
    image: Tensor,
    *,
    start: Tensor | Literal["noise"] = "noise",
    other: Tensor | None = None,
    orientations: int = 9,
    cell: int = 8,
    block: int = 3,
    norm: Norm = "L2-Hys",
    steps: int = 2500,
    sweeps: int | None = None,
    seed: int = 0,
    progress: Watcher | None = None,
) -> HogTwin:
    """Make a picture that looks otherwise than an image (C, H, W) in [0, 1] but has its HOG descriptor.

    From `start` it descends

        ‖HOG(y) − HOG(x)‖² + λ · what is undecided + μ · ‖what of y is outside of [0, 1]‖²

    by L-BFGS. A pixel's vote goes to one orientation whole, so that HOG itself doesn't tell how to turn a gradient. So
    there are two descents. In the first a vote near the border of two orientations is shared between them, in an ever
    narrower strip, and costs what is shared. In the second each vote is held in its orientation, what of a gradient is
    out of it costs, and only magnitudes are brought in line: that is smooth. Where in a cell no pixel votes for an
    orientation that the image has there, one is made to. Both are of blocks without the cut at 0.2, which would hide
    what is beyond; equal without it are equal with it. In the end y is rounded to 8 bits, pixel by pixel a level up or
    down where that brings the descriptors nearer. All distances are of that.

    HOG knows no absolute brightness, neither the sign of an edge nor where in its cell it is: the negative of an image
    is a twin already.

    Tatu, Lauze, Nielsen and Kimia, "Exploring the representation capabilities of HOG descriptors", 2011.

    Parameters
    ----------
    image
        Grey or in colours; a large one is slow: 122 × 184 grey pixels take 71 s of one core.
    start
        Another image, which is brought to the size of this one, or "noise".
    other
        A photograph that has nothing to do with it, to compare with; by default `start`, or the image upside down
        where it starts from noise.
    orientations, cell, block, norm
        As of `hog`.
    steps
        How many of descent, three fifths of them with shared votes. By default the distance between two photographs of
        rich texture comes down to 0.1 to 1%; where large parts are nearly flat, to a few percent.
    sweeps
        How often each pixel is tried when rounding, 0 for the nearest levels; by default twice after as many steps as
        there are by default, and after few not at all.
    seed
        Of the noise.
    progress
        Called after each step with the picture so far; returning False stops.

    Raises
    ------
    ImageError
        For what is no image, one smaller than a block, or one that is flat.
    Cancelled

    >>> made = hog_twin(torch.rand(1, 32, 32), steps=20)
    >>> made.twin.shape, made.distance < made.started
    (torch.Size([1, 32, 32]), True)
    """
    numbers = Hog(orientations, cell, block, norm)
    _check(image, numbers, steps, sweeps)
    begun = _begun(image, start, seed)
    compared = begun if other is None and not isinstance(start, str) else _brought(image, other)
    if sweeps is None:
        sweeps = min(_SWEEPS, steps // _STEPS_A_SWEEP)
    told = Steps(steps + rows_of(numbers, sweeps), progress)
    with torch.no_grad():
        found = _descend(image.detach(), begun, numbers, steps=steps, told=told, preview=progress is not None)
        twin = rounded(found, image.detach(), numbers, sweeps=sweeps, told=told)
    parameters = {
        "start": start if isinstance(start, str) else "image",
        "other": None if other is None else "image",
        "orientations": orientations,
        "cell": cell,
        "block": block,
        "norm": norm,
        "steps": steps,
        "sweeps": sweeps,
    }
    given = [each for each in (image, start, other) if isinstance(each, Tensor)]
    recipe = recipe_of("hog_twin", parameters, inputs=tuple(map(origin, given)), seed=seed)
    return HogTwin(image.detach(), twin, begun, compared, numbers, recipe)


def glyphs(image: Tensor, numbers: Hog) -> Image.Image:
    """The cells' histograms drawn as lines along the edges, the brighter the more votes, on black."""
    side = numbers.cell * _ZOOM
    votes = numbers.histograms(image[None].double())[0]
    # What a block's normalization leaves of them: each cell by the energy about it.
    energy = torch.nn.functional.avg_pool2d(
        votes.square().sum(0)[None, None], numbers.block, 1, numbers.block // 2, count_include_pad=False
    )[0, 0]
    energy = energy[: votes.shape[1], : votes.shape[2]]
    shown = (votes / (energy.sqrt() + 1e-5)).clamp(0, 1).numpy()
    count, down, across = shown.shape
    sheet = Image.new("L", (across * side, down * side))
    draw = ImageDraw.Draw(sheet)
    angles = np.pi * (np.arange(count) + 0.5) / count
    for row in range(down):
        for column in range(across):
            x, y = (column + 0.5) * side, (row + 0.5) * side
            for orientation in np.argsort(shown[:, row, column]):
                # An edge lies across its gradient.
                dx, dy = -np.sin(angles[orientation]) * side * 0.46, np.cos(angles[orientation]) * side * 0.46
                level = round(255 * float(shown[orientation, row, column]))
                draw.line((x - dx, y - dy, x + dx, y + dy), fill=level, width=2)
    return sheet.resize((across * numbers.cell * 2, down * numbers.cell * 2), Image.Resampling.LANCZOS)


@dataclass(frozen=True)
class _Descent:
    """Towards the histograms `wanted` (1, orientations, rows, columns), by blocks that are followed."""

    numbers: Hog
    wanted: Tensor
    told: Steps
    preview: bool

    def shared(self, picture: Tensor, strip: float, cost: float, steps: int) -> Tensor:
        """By votes that are shared between orientations near their border."""

        def loss(leaf: Tensor) -> Tensor:
            votes = self.numbers.votes(leaf, strip=strip)
            return self._missed(votes.histograms) + cost * _undecided(votes) + _OUTSIDE[0] * _outside(leaf)

        return self._followed(picture, loss, steps)

    def held(self, picture: Tensor, cost: float, steps: int) -> Tensor:
        """By votes for the orientations that they are for at the start."""
        votes = HeldVotes(self.numbers, picture, self.wanted)

        def loss(leaf: Tensor) -> Tensor:
            histograms, out = votes(leaf)
            return self._missed(histograms) + cost * out + _OUTSIDE[1] * _outside(leaf)

        return self._followed(picture, loss, steps)

    def _missed(self, histograms: Tensor) -> Tensor:
        # Blocks that are equal without the cut at 0.2 are with it, and beyond it there is no slope.
        numbers = replace(self.numbers, norm="L2") if self.numbers.norm == "L2-Hys" else self.numbers
        return (numbers.blocks(histograms) - numbers.blocks(self.wanted)).square().sum()

    def _followed(self, picture: Tensor, loss: Callable[[Tensor], Tensor], steps: int) -> Tensor:
        parameters = picture.clone().contiguous()
        climb = LBFGS(history=50).over(parameters)

        def evaluate() -> tuple[Tensor, Tensor]:
            with torch.enable_grad():
                leaf = parameters.clone().requires_grad_()
                value = loss(leaf)
                (gradient,) = torch.autograd.grad(value, leaf)
            return -value.detach()[None], -gradient

        for _ in range(steps):
            climb.step(evaluate, 1.0)
            self.told.done(preview=parameters[0].clamp(0, 1).float() if self.preview else None)
        return parameters


def _descend(image: Tensor, start: Tensor, numbers: Hog, *, steps: int, told: Steps, preview: bool) -> Tensor:
    descent = _Descent(numbers, numbers.histograms(image[None].double()), told, preview)
    counts = _counts(steps, [*(share for _, _, share in _SHARED), *(share for _, share in _HELD)])
    picture = start[None].double()
    for (strip, cost, _), count in zip(_SHARED, counts, strict=False):
        picture = descent.shared(picture, strip, cost, count)
    for (cost, _), count in zip(_HELD, counts[len(_SHARED) :], strict=True):
        picture = descent.held(picture, cost, count)
    return picture[0].clamp(0, 1)


def _counts(steps: int, shares: Sequence[float]) -> list[int]:
    """Steps in these shares, whole numbers that add up to all."""
    ends = [round(steps * each) for each in accumulate(shares)]
    return [end - begin for begin, end in pairwise([0, *ends[:-1], steps])]


def _outside(picture: Tensor) -> Tensor:
    return (picture - picture.clamp(0, 1)).square().sum()


def _undecided(votes: Votes) -> Tensor:
    """How much of each cell's votes is between two orientations, summed over cells."""
    size = votes.histograms.detach().square().sum(1).sqrt()
    return (votes.shared / (size + 1e-6)).sum()


def _begun(image: Tensor, start: Tensor | str, seed: int) -> Tensor:
    if isinstance(start, Tensor):
        return _in_bits(_brought(image, start))
    if start != "noise":
        raise ImageError(f"got start={start!r}; expected an image, or 'noise'")
    low, high = _NOISE
    draws = torch.Generator().manual_seed(seed)
    return _in_bits(low + (high - low) * torch.rand(image.shape, generator=draws).to(image.dtype))


def _brought(image: Tensor, other: Tensor | None) -> Tensor:
    """Another image of this one's size and channels; without any, this one upside down."""
    if other is None:
        return image.flip(1)
    check_image(other)
    if other.ndim != 3:
        raise ImageError(f"got a batch of shape {tuple(other.shape)}, expected one image (C, H, W): choose one of it")
    same = other.mean(0, keepdim=True) if len(image) == 1 else other
    fitted = fit_image(same, (image.shape[1], image.shape[2]), crop_fraction=1.0).to(image)
    return fitted.expand(len(image), -1, -1) if len(fitted) == 1 else fitted


def _in_bits(image: Tensor) -> Tensor:
    return (image * 255).round() / 255


def _check(image: Tensor, numbers: Hog, steps: int, sweeps: int | None) -> None:
    check_image(image)
    if image.ndim != 3:
        raise ImageError(f"got a batch of shape {tuple(image.shape)}, expected one image (C, H, W): choose one of it")
    numbers.check(image)
    if float(image.max() - image.min()) == 0:
        raise ImageError("got an image of one colour, which has no gradients; expected a photograph")
    if steps < 1:
        raise ImageError(f"got steps={steps!r}; expected a whole number from 1 on")
    if sweeps is not None and sweeps < 0:
        raise ImageError(f"got sweeps={sweeps!r}; expected a whole number from 0 on, or None")
