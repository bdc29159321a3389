"""What a filter answers to: the inequality of Cauchy and Schwarz, seen."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convscope.anatomy.matching import matching
from convscope.errors import ImageError
from convscope.image.write import read_recipe

numbers = st.floats(-3, 3, allow_nan=False).map(lambda value: round(value, 2))
kernels = st.integers(2, 4).flatmap(
    lambda width: st.lists(st.lists(numbers, min_size=width, max_size=width), min_size=2, max_size=4)
)


@settings(max_examples=60, deadline=None)
@given(kernels.filter(lambda kernel: any(map(any, kernel))))
def test_at_one_norm_nothing_beats_the_filter_and_brightness_does(kernel: list[list[float]]) -> None:
    result = matching(kernel)
    answers, norms, cosines = result.dot_products, result.norms, result.cosines
    equally_strong = slice(0, -1)
    torch.testing.assert_close(norms[equally_strong], norms[0].expand(len(norms) - 1))
    assert (answers[equally_strong] <= answers[0] * (1 + 1e-9)).all()
    assert (cosines.abs() <= 1 + 1e-9).all()
    torch.testing.assert_close(answers, norms[0] * norms * cosines)
    assert result.names[0] == "the filter itself"
    assert result.names[-1] == "a brighter patch"
    torch.testing.assert_close(answers[-1], 2 * answers[0])
    torch.testing.assert_close(cosines[-1], torch.tensor(0.5, dtype=torch.float64).sqrt())


def test_turning_by_90_degrees_is_exact() -> None:
    kernel = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 10.0]], dtype=torch.float64)
    result = matching(kernel)
    turned = result.patches[result.names.index("turned by 90 degrees")]
    assert any(torch.allclose(turned, kernel.rot90(k)) for k in (1, 3))


def test_the_lectures_kernel_turned_by_45_degrees_is_another() -> None:
    result = matching([[1, 0, 1], [0, 1, 0], [1, 0, 1]])
    cosines = dict(zip(result.names, result.cosines.tolist(), strict=True))
    assert cosines["turned by 90 degrees"] == pytest.approx(1)
    assert cosines["turned by 45 degrees"] < 0.5


def test_the_picture_can_be_made_again(tmp_path: Path) -> None:
    result = matching(seed=3)
    result.save(tmp_path / "matching.png")
    recipe = read_recipe(tmp_path / "matching.png")
    again = matching(**recipe.parameters, seed=recipe.seed)  # type: ignore[arg-type]
    assert again.picture().tobytes() == result.picture().tobytes()


@pytest.mark.parametrize("kernel", [[[0, 0], [0, 0]], [[1]], [1, 2]])
def test_no_filter_is_an_error(kernel: list[list[float]]) -> None:
    with pytest.raises(ImageError, match="kernel of shape"):
        matching(kernel)
