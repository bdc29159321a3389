"""Why little is enough: ten numbers, a linear classifier, and what happens as there are more of them (L58)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from convscope.errors import ImageError
from convscope.image.networkless import recipe_of
from convscope.image.recipe import JSON, Recipe
from convscope.render import text
from convscope.render.colours import Scale
from convscope.render.grid import stack, title_strip
from convscope.render.result import Pictured
from convscope.render.text import INK, LINE, PAPER, QUIET_INK

INPUT = (2.0, -1.0, 3.0, -2.0, 2.0, 2.0, 1.0, -4.0, 5.0, 1.0)
WEIGHTS = (-1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0, 1.0, -1.0, 1.0)
DIMENSIONS = (10, 100, 784, 3072, 12288, 150528)
"""Ten numbers, then pictures: of 28 × 28, 32 × 32 and 64 × 64 pixels in colours, and of 224 × 224."""

_CELL, _NAME, _LETTERS = (44, 26), 92, 12


@dataclass(frozen=True)
class Needed:
    """The step that takes the same score up by the same amount, where there are so many `dimensions`.

    `step` is that of each number if each weight is as large as in the example; `fixed_norm` if the weights as a whole
    are no longer than there, so that each is smaller.
    """

    dimensions: int
    step: float
    fixed_norm: float


@dataclass(frozen=True)
class LinearExample(Pictured):
    """A linear classifier's `weights` (D,) and an `input` (D,), float64, before and after a step along their signs."""

    input: Tensor
    weights: Tensor
    step: float
    recipe: Recipe

    @property
    def changed(self) -> Tensor:
        """The input after the step: x + step · sign(w)."""
        return self.input + self.step * self.weights.sign()

    @property
    def score(self) -> float:
        """The sum w · x."""
        return float(self.weights @ self.input)

    @property
    def changed_score(self) -> float:
        """The sum w · (x + step · sign(w)) = w · x + step · Σ|w|."""
        return float(self.weights @ self.changed)

    @property
    def probability(self) -> float:
        """1 / (1 + e^−score)."""
        return _probability(self.score)

    @property
    def changed_probability(self) -> float:
        """The same after the step."""
        return _probability(self.changed_score)

    def needed(self, dimensions: Sequence[int] = DIMENSIONS) -> list[Needed]:
        """The step that lifts the score as far, where there are more numbers: it falls as 1 / Σ|w|.

        >>> [round(each.step, 6) for each in linear_example().needed([10, 1000, 150528])]
        [0.5, 0.005, 3.3e-05]
        """
        if not dimensions or min(dimensions) < 1:
            raise ImageError(f"got dimensions={list(dimensions)}; expected numbers of numbers, from 1 on")
        own, lifted = len(self.weights), self.step * float(self.weights.abs().sum())
        mean = float(self.weights.abs().mean())
        return [
            Needed(count, lifted / (mean * count), lifted / (mean * math.sqrt(own * count))) for count in dimensions
        ]

    @property
    def lines(self) -> tuple[str, ...]:
        """What came out, in words."""
        return (
            f"x: score {_signed(self.score)}, p {self.probability:.4f}",
            f"x + {self.step:g} · sign(w): score {_signed(self.changed_score)}, p {self.changed_probability:.4f}",
        )

    def picture(self) -> Image.Image:
        """The numbers as a table, and below it the step needed for more of them."""
        scale = Scale.of(torch.cat([self.input, self.changed, self.weights]), signed=True)
        rows = [("x", self.input), ("w", self.weights), (f"x + {self.step:g} · sign(w)", self.changed)]
        table = [_row(name, values, scale) for name, values in rows]
        told = [
            title_strip(f"x: score {_signed(self.score)}, probability {self.probability:.4f}", size=_LETTERS + 1),
            title_strip(
                f"changed: score {_signed(self.changed_score)}, probability {self.changed_probability:.4f}",
                size=_LETTERS + 1,
            ),
        ]
        count = "ten" if len(self.input) == 10 else str(len(self.input))
        more = title_strip("The step that lifts the score as far, where there are more numbers")
        title = title_strip(f"A linear classifier of {count} numbers")
        return stack(title, *table, *told, more, *self._needed_rows())

    def _needed_rows(self) -> list[Image.Image]:
        needed = self.needed()
        head = ("numbers", "step, each weight as large", "in grey levels", "step, |w| as long")
        lines = [
            (f"{each.dimensions:,}", text.number(each.step), text.number(255 * each.step),
             text.number(each.fixed_norm))
            for each in needed
        ]  # fmt: skip
        return [_line(head, QUIET_INK), *(_line(each, INK) for each in lines)]


def linear_example(
    input: Sequence[float] = INPUT, weights: Sequence[float] = WEIGHTS, *, step: float = 0.5
) -> LinearExample:
    """Ten numbers of which each changes by a half, and a classifier that turns from 5% to 88%.

    A linear classifier takes the side w · x. A change of each number by at most ε moves that by at most ε Σ|w|, which
    ε · sign(w) does: no number changes much, and all changes add up. The more numbers, the less each has to change: of
    a photograph of 150,528, by far less than a grey level. So it is neither about images nor about depth.

    Goodfellow, Shlens and Szegedy, "Explaining and harnessing adversarial examples", 2015; the numbers are those of
    CS231n.

    Raises ImageError for numbers that are not as many weights, or not finite.

    >>> result = linear_example()
    >>> f"{result.probability:.4f}", f"{result.changed_probability:.4f}"
    ('0.0474', '0.8808')
    """
    x, w = (torch.tensor(list(each), dtype=torch.float64) for each in (input, weights))
    if len(x) == 0 or x.shape != w.shape or x.ndim != 1:
        raise ImageError(f"got {len(x)} numbers and {len(w)} weights; expected as many of both, and one at least")
    if not (x.isfinite().all() and w.isfinite().all() and math.isfinite(step)):
        raise ImageError("got a number that is not finite among input, weights and step; expected finite ones")
    if not w.any():
        raise ImageError("got weights that are all 0; expected some that are not: no change counts for these")
    parameters: dict[str, JSON] = {"input": x.tolist(), "weights": w.tolist(), "step": step}
    return LinearExample(x, w, float(step), recipe_of("linear_example", parameters))


def _probability(score: float) -> float:
    return float(torch.tensor(score, dtype=torch.float64).sigmoid())


def _signed(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def _row(name: str, values: Tensor, scale: Scale) -> Image.Image:
    """A row of the table: its name, and each number on its colour."""
    width, height = _CELL
    sheet = Image.new("RGB", (_NAME + width * len(values), height), PAPER)
    draw = ImageDraw.Draw(sheet)
    text.write(sheet, name, at=(0, (height - text.line_height(_LETTERS)) // 2), size=_LETTERS)
    for place, value in enumerate(values.tolist()):
        left = _NAME + place * width
        red, green, blue = (int(each) for each in scale.colour([value])[0])
        draw.rectangle((left, 0, left + width - 2, height - 1), fill=(red, green, blue), outline=LINE)
        dark = red + green + blue < 384
        text.write(
            sheet,
            text.number(value),
            at=(left + width // 2, (height - text.line_height(_LETTERS)) // 2),
            size=_LETTERS,
            colour=PAPER if dark else INK,
            align="centre",
        )
    return sheet


def _line(cells: Sequence[str], colour: tuple[int, int, int]) -> Image.Image:
    edges = (80, 240, 340, 530)
    sheet = Image.new("RGB", (edges[-1], text.line_height(_LETTERS)), PAPER)
    for edge, cell in zip(edges, cells, strict=True):
        text.write(sheet, cell, at=(edge, 0), size=_LETTERS, colour=colour, align="right")
    return sheet
