"""Both poolings of one map, against loops over the windows."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from convscope.anatomy.pooling_compared import pooling_compared
from convscope.errors import ImageError, LayerError
from convscope.image.read import read_image


def windows(values: Tensor, kernel: int, stride: int) -> list[list[Tensor]]:
    height, width = values.shape
    return [
        [values[top : top + kernel, left : left + kernel] for left in range(0, width - kernel + 1, stride)]
        for top in range(0, height - kernel + 1, stride)
    ]


@settings(max_examples=30, deadline=None)
@given(st.integers(3, 9), st.integers(3, 9), st.integers(1, 3), st.integers(1, 4))
def test_each_value_is_the_largest_or_the_mean_of_its_window(height: int, width: int, kernel: int, stride: int) -> None:
    values = torch.randn(height, width, dtype=torch.float64)
    result = pooling_compared(values, kernel, stride=stride)
    expected = windows(values, kernel, stride)
    torch.testing.assert_close(result.largest, torch.stack([torch.stack([w.max() for w in row]) for row in expected]))
    torch.testing.assert_close(result.mean, torch.stack([torch.stack([w.mean() for w in row]) for row in expected]))
    assert (result.mean <= result.largest).all()
    assert result.sizes.output == tuple(result.mean.shape)


def test_a_real_map_is_drawn_in_colours_and_a_small_one_in_numbers() -> None:
    camera = read_image("camera")[0]
    large = pooling_compared(camera[:56, :56], 4).picture()
    small = pooling_compared().picture()
    assert large.width > 3 * 224
    assert small.width < large.width


def test_the_maps_own_type_is_kept_and_its_gradient_let_go() -> None:
    values = torch.rand(4, 4, dtype=torch.float64, requires_grad=True)
    result = pooling_compared(values)
    assert result.mean.dtype == torch.float64
    assert not result.mean.requires_grad


def test_what_cannot_be_is_an_error() -> None:
    with pytest.raises(ImageError, match=r"shape \(3, 4, 4\)"):
        pooling_compared(torch.zeros(3, 4, 4))
    with pytest.raises(LayerError, match="expected it to fit inside"):
        pooling_compared(torch.zeros(4, 4), 5)
