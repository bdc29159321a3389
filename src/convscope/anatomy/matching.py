"""Why a filter answers most to what looks like itself, and why only among patches of the same norm."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

from convscope.anatomy.matrix import AMBER, BLUE, Colour
from convscope.anatomy.sliding_product import Matrix, to_matrix
from convscope.errors import ImageError
from convscope.image.networkless import recipe_of
from convscope.image.recipe import Recipe
from convscope.render import text
from convscope.render.colours import Scale
from convscope.render.grid import stack, title_strip
from convscope.render.heatmap import heatmap
from convscope.render.result import Pictured
from convscope.render.text import INK, LINE, PAPER, QUIET_INK

_TILE, _NAME, _BAR, _LETTERS = 56, 170, 240, 13


@dataclass(frozen=True)
class Matching(Pictured):
    """What a filter (K, L) answers to `patches` (N, K, L), each with its name; all float64.

    `dot_products` (N,) are its answers. `norms` (N,) and `cosines` (N,), in [−1, 1], tell how strong each patch is and
    how like the filter: dot product = norm of the filter · norm of the patch · cosine.
    """

    kernel: Tensor
    names: tuple[str, ...]
    patches: Tensor
    recipe: Recipe

    @property
    def dot_products(self) -> Tensor:
        """The filter's answer to each patch."""
        return (self.patches * self.kernel).sum((1, 2))

    @property
    def norms(self) -> Tensor:
        """Each patch's norm: the root of the sum of its squares."""
        return self.patches.square().sum((1, 2)).sqrt()

    @property
    def cosines(self) -> Tensor:
        """The answer with both norms divided out: 1 only for the filter itself, however bright."""
        return self.dot_products / (self.norms * self.kernel.square().sum().sqrt())

    def picture(self) -> Image.Image:
        """One row a patch: how it looks, its norm, the filter's answer and the cosine."""
        answers, norms, cosines = (each.tolist() for each in (self.dot_products, self.norms, self.cosines))
        longest = max(map(abs, answers))
        scale = Scale.of(self.patches, signed=True)
        rows = [
            _row(heatmap(patch, scale=scale, size=(_TILE, _TILE)), name, norm, answer, longest, cosine)
            for name, patch, norm, answer, cosine in zip(self.names, self.patches, norms, answers, cosines, strict=True)
        ]
        return stack(title_strip("What a filter answers to"), _heading(), *rows)


def matching(kernel: Matrix | None = None, *, seed: int = 0) -> Matching:
    """Show a filter itself, itself moved and turned, noise, and a brighter patch, and see what it answers.

    Among patches x of one norm the answer w · x = ‖w‖ ‖x‖ cos(w, x) is largest for x = w (Cauchy and Schwarz), so the
    filter is its own favourite patch. A brighter patch can beat it all the same: the last one is twice the filter on
    a bright ground, which the answer takes for more and the cosine for less. `kernel` (K, L) is by default a striped
    7 × 7 filter; the noise is seeded. Raises `ImageError` for another shape, a filter of zeros or of one number.

    >>> result = matching()
    >>> result.names[int(result.cosines.argmax())], result.names[int(result.dot_products.argmax())]
    ('the filter itself', 'a brighter patch')
    """
    weights = _stripes() if kernel is None else to_matrix("kernel", kernel)
    norm = weights.square().sum().sqrt()
    if norm == 0 or weights.numel() == 1:
        raise ImageError(
            f"a kernel of shape {tuple(weights.shape)} and norm {norm:g}; expected two numbers or more, not all 0"
        )
    half = weights.shape[1] // 2
    noise = torch.randn(weights.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    patches = {
        "the filter itself": weights,
        "moved by one pixel": F.pad(weights, (1, -1)),
        "moved by half its width": F.pad(weights, (half, -half)),
        "turned by 45 degrees": _turned(weights, 45),
        "turned by 90 degrees": _turned(weights, 90),
        "its negative": -weights,
        "noise": noise,
    }
    # What the move or the turn leaves empty is no patch that could be given the filter's norm.
    equally_strong = {name: patch * (norm / patch.norm()) for name, patch in patches.items() if patch.norm() > 0}
    everything = {**equally_strong, "a brighter patch": 2 * weights + _ground(weights, noise)}
    recipe = recipe_of("matching", {"kernel": weights.tolist()}, seed=seed)
    return Matching(weights, tuple(everything), torch.stack(list(everything.values())), recipe)


def _stripes() -> Tensor:
    """A Gabor filter, as first layers have them: a wave under a bell, without a mean."""
    steps = torch.arange(-3, 4, dtype=torch.float64)
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    bell = torch.exp(-(x.square() + y.square()) / 8)
    wave = torch.sin(2 * math.pi * x / 6)
    return wave * bell


def _turned(weights: Tensor, degrees: float) -> Tensor:
    """The filter turned about its middle, with 0 where it comes from outside."""
    angle = math.radians(degrees)
    aspect = weights.shape[0] / weights.shape[1]
    # grid_sample measures both sides from −1 to 1, so that a turn of a filter that isn't square has to undo that.
    turn = [
        [math.cos(angle), -math.sin(angle) * aspect, 0.0],
        [math.sin(angle) / aspect, math.cos(angle), 0.0],
    ]
    grid = F.affine_grid(torch.tensor([turn], dtype=torch.float64), [1, 1, *weights.shape], align_corners=False)
    return F.grid_sample(weights[None, None], grid, align_corners=False)[0, 0]


def _ground(weights: Tensor, noise: Tensor) -> Tensor:
    """Brightness that the filter doesn't answer to at all, twice as strong as the filter."""
    # Beside a filter that is flat itself there is no other flat brightness.
    flat = bool((weights == weights[0, 0]).all())
    ground = noise if flat else torch.ones_like(weights)
    unanswered = ground - weights * ((ground * weights).sum() / weights.square().sum())
    return unanswered * 2 * (weights.square().sum() / unanswered.square().sum()).sqrt()


@dataclass(frozen=True)
class _Column:
    """Where a number stands in the table."""

    heading: str
    left: int
    width: int
    colour: Colour = INK


_NORM = _Column("norm", _TILE + 14 + _NAME, 50)
_ANSWER = _Column("dot product with the filter", _NORM.left + _NORM.width + 20, _BAR, BLUE)
_COSINE = _Column("cosine", _ANSWER.left + _BAR + 24, _BAR, AMBER)


def _heading() -> Image.Image:
    sheet = _sheet(text.line_height(_LETTERS))
    for column in (_NORM, _ANSWER, _COSINE):
        text.write(sheet, column.heading, at=(column.left, 0), size=_LETTERS, colour=QUIET_INK)
    return sheet


def _row(tile: Image.Image, name: str, norm: float, answer: float, longest: float, cosine: float) -> Image.Image:
    sheet = _sheet(_TILE + 2)
    ImageDraw.Draw(sheet).rectangle((0, 0, _TILE + 1, _TILE + 1), outline=LINE)
    sheet.paste(tile, (1, 1))
    top = (sheet.height - text.line_height(_LETTERS)) // 2
    text.write(sheet, name, at=(_TILE + 14, top), size=_LETTERS)
    text.write(sheet, text.number(norm), at=(_NORM.left, top), size=_LETTERS)
    _bar(sheet, _ANSWER, answer, longest)
    _bar(sheet, _COSINE, cosine, 1.0)
    return sheet


def _bar(sheet: Image.Image, column: _Column, value: float, longest: float) -> None:
    """A bar from the middle of its column, to the right or, below 0, to the left; the number on the other side."""
    middle, reach = column.left + column.width // 2, column.width // 2
    end = middle + round(value / longest * reach)
    draw = ImageDraw.Draw(sheet)
    draw.rectangle(
        (min(middle, end), sheet.height // 2 - 7, max(middle, end), sheet.height // 2 + 7), fill=column.colour
    )
    draw.line((middle, 0, middle, sheet.height), fill=LINE)
    top = (sheet.height - text.line_height(_LETTERS)) // 2
    side, align = (-6, "right") if value >= 0 else (6, "left")
    text.write(sheet, text.number(round(value, 3)), at=(middle + side, top), size=_LETTERS, align=align)


def _sheet(height: int) -> Image.Image:
    return Image.new("RGB", (_COSINE.left + _COSINE.width, height), PAPER)
