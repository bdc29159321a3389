import numpy as np
import pytest
import torch
from torch import Tensor

from convscope.errors import ImageError
from convscope.image.check import check_image


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(3, 1, 1), (1, 5, 7), (13, 4, 4), (2, 3, 4, 5)])
def test_images_pass(shape: tuple[int, ...], kind: torch.dtype) -> None:
    check_image(torch.zeros(shape, dtype=kind))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("dog.jpg", r"got str, .*read_image"),
        (np.zeros((3, 4, 4)), r"got ndarray, .*from_numpy"),
        (torch.zeros(4, 4), r"shape \(4, 4\), .*unsqueeze"),
        (torch.zeros(1, 1, 3, 4, 4), r"expected a float tensor \(C, H, W\) or \(N, C, H, W\)"),
        (torch.zeros(3, 4, 4, dtype=torch.uint8), r"torch\.uint8, .*/ 255"),
        (torch.zeros(3, 4, 4, dtype=torch.int64), r"torch\.int64"),
        (torch.zeros(3, 4, 4, dtype=torch.bool), r"torch\.bool"),
        (torch.zeros(3, 0, 4), r"without pixels"),
        (torch.zeros(0, 3, 4, 4), r"without pixels"),
    ],
)
def test_what_is_no_image_is_refused(value: object, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        check_image(value)


def test_the_number_of_channels() -> None:
    check_image(torch.zeros(2, 3, 8, 9), channels=3)
    with pytest.raises(ImageError, match=r"got an image of 1 channels, of shape \(1, 8, 9\), expected 3$"):
        check_image(torch.zeros(1, 8, 9), channels=3)
    rows_first: Tensor = torch.zeros(8, 9, 3)
    with pytest.raises(ImageError, match=r"movedim\(-1, -3\)"):
        check_image(rows_first, channels=3)
