"""A convolution taken apart, against four loops."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from convscope.anatomy.sliding_product import sliding_product
from convscope.errors import ImageError, LayerError
from convscope.image.write import read_recipe


def slowly(image: Tensor, kernel: Tensor, stride: tuple[int, int], padding: tuple[int, int]) -> Tensor:
    """Σ over a, b of kernel[a, b] · image[i·S + a − P, j·S + b − P], with 0 outside."""
    (height, width), (rows, columns) = image.shape, kernel.shape
    down = (height + 2 * padding[0] - rows) // stride[0] + 1
    across = (width + 2 * padding[1] - columns) // stride[1] + 1
    output = torch.zeros(down, across, dtype=torch.float64)
    for i in range(down):
        for j in range(across):
            for a in range(rows):
                for b in range(columns):
                    y, x = i * stride[0] + a - padding[0], j * stride[1] + b - padding[1]
                    if 0 <= y < height and 0 <= x < width:
                        output[i, j] += kernel[a, b] * image[y, x]
    return output


def test_the_lectures_example() -> None:
    result = sliding_product(at=(1, 1))
    assert result.output.tolist() == [[4, 3, 4], [2, 4, 3], [2, 3, 4]]
    assert result.window.tolist() == [[1, 1, 1], [0, 1, 1], [0, 1, 1]]
    assert result.products.tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 1]]
    assert result.sizes.rows.equation == "(5 + 2·0 − 3)/1 + 1 = 3"


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(3, 7), st.integers(3, 7)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(0, 2), st.integers(0, 2)),
    st.integers(0, 1000),
)
def test_it_is_the_sum_that_the_equation_says(
    size: tuple[int, int], kernel_size: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int], seed: int
) -> None:
    torch.manual_seed(seed)
    image, kernel = torch.randn(*size, dtype=torch.float64), torch.randn(*kernel_size, dtype=torch.float64)
    result = sliding_product(image, kernel, stride=stride, padding=padding)
    expected = slowly(image, kernel, stride, padding)
    torch.testing.assert_close(result.output, expected)
    for row, column in np.ndindex(*expected.shape):
        products = result.window_at(row, column) * kernel
        torch.testing.assert_close(products.sum(), expected[row, column])


def test_a_shift_of_the_image_shifts_the_output() -> None:
    image = torch.rand(6, 8, dtype=torch.float64)
    kernel = torch.rand(3, 3, dtype=torch.float64)
    before = sliding_product(image, kernel).output
    after = sliding_product(image.roll(1, dims=1), kernel).output
    torch.testing.assert_close(after[:, 2:], before[:, 1:-1])


def test_pictures_mark_the_place(tmp_path: Path) -> None:
    first, second = sliding_product(), sliding_product(at=(2, 2))
    assert first.picture().tobytes() != second.picture().tobytes()
    assert first.picture(steps=True).tobytes() == second.picture(steps=True).tobytes()
    wide = sliding_product(torch.rand(20, 20), torch.rand(5, 5), padding=2)
    assert wide.picture().width < 1300
    second.save(tmp_path / "step.png", steps=True)
    recipe = read_recipe(tmp_path / "step.png")
    again = sliding_product(**recipe.parameters)  # type: ignore[arg-type]
    assert again.picture().tobytes() == second.picture().tobytes()


def test_too_many_steps_are_an_error() -> None:
    with pytest.raises(ImageError, match="81 steps of an output of 9 × 9; expected 64 at most"):
        sliding_product(torch.zeros(11, 11)).picture(steps=True)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"image": [[1, 2], [3]]}, ImageError, "rows of numbers, all of one length"),
        ({"image": torch.zeros(3, 4, 4)}, ImageError, "image of shape"),
        ({"image": torch.zeros(33, 4)}, ImageError, "32 of each at most"),
        ({"kernel": []}, ImageError, "kernel of shape"),
        ({"kernel": torch.ones(6, 6)}, LayerError, "expected it to fit inside"),
        ({"at": (3, 0)}, ImageError, "output of 3 × 3"),
        ({"at": (0, -1)}, ImageError, r"at=\(0, -1\)"),
    ],
)
def test_what_cannot_be_is_an_error(arguments: dict[str, object], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        sliding_product(**arguments)  # type: ignore[arg-type]
