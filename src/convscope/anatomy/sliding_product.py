"""A convolution, one output value at a time: a patch of the image times the kernel, summed."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from convscope.anatomy.arithmetic import Arithmetic, Pair, convolution
from convscope.anatomy.matrix import AMBER, BLUE, Mark, arrow, captioned, matrix, side_by_side, sign, words
from convscope.errors import ImageError
from convscope.image.networkless import recipe_of
from convscope.image.recipe import Recipe
from convscope.render.grid import grid, stack, title_strip
from convscope.render.result import Pictured
from convscope.render.text import number

Matrix = Tensor | Sequence[Sequence[float]]
"""Numbers (rows, columns)."""

IMAGE = ((1, 1, 1, 0, 0), (0, 1, 1, 1, 0), (0, 0, 1, 1, 1), (0, 0, 1, 1, 0), (0, 1, 1, 0, 0))
KERNEL = ((1, 0, 1), (0, 1, 0), (1, 0, 1))

LARGEST = 32
"""Rows or columns beyond which numbers can't be read any more."""

_MOST_STEPS = 64
_CELL, _SMALL_CELL = 40, 22
_WIDEST = 1200


@dataclass(frozen=True)
class SlidingProduct(Pictured):
    """A convolution of `image` (H, W) with `kernel` (K, L), and the output value `at` (row, column) looked at.

    `padded` is the image with its zeros around, `output` (rows, columns) what the kernel makes of it; all float64.
    `sizes` are the numbers behind: why the output is as large as it is.
    """

    image: Tensor
    kernel: Tensor
    padded: Tensor
    output: Tensor
    at: tuple[int, int]
    sizes: Arithmetic
    recipe: Recipe

    @property
    def window(self) -> Tensor:
        """The patch of the padded image (K, L) behind the output value looked at."""
        return self.window_at(*self.at)

    @property
    def products(self) -> Tensor:
        """That patch times the kernel, number by number (K, L); their sum is the output value."""
        return self.window * self.kernel

    def window_at(self, row: int, column: int) -> Tensor:
        """The patch of the padded image (K, L) behind the output value at `row`, `column`."""
        top, left = self._corner(row, column)
        return self.padded[top : top + self.kernel.shape[0], left : left + self.kernel.shape[1]]

    def picture(self, *, steps: bool = False) -> Image.Image:
        """The one position looked at, in full; with `steps` all positions in order, small.

        Raises `ImageError` for the steps of an output of more than 64 values.
        """
        return self._all_steps() if steps else self._one_step()

    def _one_step(self) -> Image.Image:
        row, column = self.at
        total = self.output[row, column].item()
        parts = [
            captioned(self._input(row, column, cell=_CELL), f"input {_size(self.image)}"),
            sign("·"),
            captioned(matrix(self.kernel, cell=_CELL), f"kernel {_size(self.kernel)}"),
            sign("="),
            captioned(matrix(self.products, cell=_CELL), "products"),
            arrow("sum"),
            captioned(self._output_up_to(row, column, cell=_CELL, whole=True), f"output {_size(self.output)}"),
        ]
        return stack(
            title_strip("Convolution: a dot product that slides"),
            _arranged(parts),
            words(_sum_line(self.window, self.kernel, total)),
            words(self._size_line()),
        )

    def _all_steps(self) -> Image.Image:
        rows, columns = self.output.shape
        if rows * columns > _MOST_STEPS:
            raise ImageError(
                f"{rows * columns} steps of an output of {rows} × {columns}; expected {_MOST_STEPS} at most: "
                "a smaller image, or a larger stride"
            )
        places = [(row, column) for row in range(rows) for column in range(columns)]
        pictures = [
            side_by_side(
                [self._input(*place, cell=_SMALL_CELL), self._output_up_to(*place, cell=_SMALL_CELL, whole=False)]
            )
            for place in places
        ]
        labels = [f"row {row}, column {column}: {number(self.output[row, column].item())}" for row, column in places]
        return grid(pictures, labels=labels, columns=columns, title="Convolution, step by step")

    def _input(self, row: int, column: int, *, cell: int) -> Image.Image:
        top, left = self._corner(row, column)
        mark = Mark(top, left, self.kernel.shape[0], self.kernel.shape[1], AMBER)
        padding = torch.ones_like(self.padded, dtype=torch.bool)
        above, before = self.sizes.rows.padding[0], self.sizes.columns.padding[0]
        padding[above : above + self.image.shape[0], before : before + self.image.shape[1]] = False
        # In the small cells of the steps there is no room for a second number.
        corners = self.kernel if cell == _CELL else None
        return matrix(self.padded, cell=cell, mark=mark, corners=corners, quiet=padding)

    def _output_up_to(self, row: int, column: int, *, cell: int, whole: bool) -> Image.Image:
        later = torch.arange(self.output.numel()).reshape(self.output.shape) > row * self.output.shape[1] + column
        return matrix(self.output, cell=cell, mark=Mark(row, column, 1, 1, BLUE), hidden=None if whole else later)

    def _corner(self, row: int, column: int) -> tuple[int, int]:
        return row * self.sizes.rows.stride, column * self.sizes.columns.stride

    def _size_line(self) -> str:
        rows, columns = self.sizes.rows.equation, self.sizes.columns.equation
        return f"size: {rows}" if rows == columns else f"size: {rows} rows, {columns} columns"


def sliding_product(
    image: Matrix | None = None,
    kernel: Matrix | None = None,
    *,
    stride: Pair = 1,
    padding: Pair = 0,
    at: tuple[int, int] | None = None,
) -> SlidingProduct:
    """Take a convolution apart: at each place the output is the dot product of the kernel and the patch under it.

    output[i, j] = Σ over a, b of kernel[a, b] · image[i·S + a − P, j·S + b − P], with 0 outside the image (LeCun and
    others, "Gradient-based learning applied to document recognition", 1998). As everywhere in deep learning, the
    kernel is not turned around first. `image` and `kernel` are matrices of 32 rows and columns at most, by default
    the lecture's 5 × 5 and 3 × 3; `at` is the output's (row, column) to look at, by default the first. Raises
    `ImageError` for other shapes or a place outside the output, `LayerError` where the kernel doesn't fit.

    >>> sliding_product().output.tolist()
    [[4.0, 3.0, 4.0], [2.0, 4.0, 3.0], [2.0, 3.0, 4.0]]
    >>> sliding_product(at=(1, 0)).products.tolist()
    [[0.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    numbers = to_matrix("image", IMAGE if image is None else image)
    weights = to_matrix("kernel", KERNEL if kernel is None else kernel)
    sizes = convolution(tuple(numbers.shape), tuple(weights.shape), stride=stride, padding=padding, filters=1)
    row, column = (0, 0) if at is None else at
    if not (0 <= row < sizes.output[0] and 0 <= column < sizes.output[1]):
        raise ImageError(f"at={at} of an output of {sizes.output[0]} × {sizes.output[1]}; expected (row, column) in it")
    padded = F.pad(numbers, (*sizes.columns.padding, *sizes.rows.padding))
    strides = sizes.rows.stride, sizes.columns.stride
    output = F.conv2d(padded[None, None], weights[None, None], stride=strides)[0, 0]
    parameters = {
        "image": numbers.tolist(),
        "kernel": weights.tolist(),
        "stride": strides,
        "padding": (sizes.rows.padding[0], sizes.columns.padding[0]),
        "at": (row, column),
    }
    return SlidingProduct(
        numbers, weights, padded, output, (row, column), sizes, recipe_of("sliding_product", parameters)
    )


def to_matrix(name: str, values: Matrix) -> Tensor:
    """Numbers (rows, columns) as float64. Raises `ImageError` for other shapes, or too large to be read as numbers."""
    try:
        numbers = torch.as_tensor(values, dtype=torch.float64)
    except (TypeError, ValueError) as error:
        raise ImageError(f"{name}: {error}; expected rows of numbers, all of one length") from error
    if numbers.ndim != 2 or numbers.numel() == 0 or max(numbers.shape) > LARGEST:
        raise ImageError(
            f"{name} of shape {tuple(numbers.shape)}; expected rows and columns of numbers, {LARGEST} of each at most"
        )
    return numbers


def _arranged(parts: list[Image.Image]) -> Image.Image:
    """In one line where that is not too wide, else in two that break before the products."""
    line = side_by_side(parts)
    return line if line.width <= _WIDEST else stack(side_by_side(parts[:3]), side_by_side(parts[3:]))


def _sum_line(window: Tensor, kernel: Tensor, total: float) -> str:
    pairs = zip(window.flatten().tolist(), kernel.flatten().tolist(), strict=True)
    terms = [f"{_factor(pixel)}·{_factor(weight)}" for pixel, weight in pairs]
    shown = terms if len(terms) <= 9 else [*terms[:8], "…"]
    return f"{' + '.join(shown)} = {number(total)}"


def _factor(value: float) -> str:
    return number(value) if value >= 0 else f"({number(value)})"


def _size(values: Tensor) -> str:
    return f"{values.shape[0]} × {values.shape[1]}"
