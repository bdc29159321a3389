import numpy as np
import pytest
import torch

from convscope.errors import ImageError
from convscope.image.viewable import viewable
from convscope.image.write import to_picture
from convscope.render.overlay import overlay


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
def test_channels_to_see(batch: tuple[int, ...]) -> None:
    image = torch.rand(*batch, 6, 4, 5)
    for channels in (1, 3):
        assert torch.equal(viewable(image[..., :channels, :, :]), image[..., :channels, :, :])
    for channels in (4, 5, 6):
        assert torch.equal(viewable(image[..., :channels, :, :]), image[..., :3, :, :])
    torch.testing.assert_close(viewable(image[..., :2, :, :]), image[..., :2, :, :].mean(dim=-3, keepdim=True))


def test_arrays_as_tensors() -> None:
    for channels in range(1, 7):
        array = np.random.default_rng(channels).random((channels, 4, 5))
        assert (viewable(array) == viewable(torch.from_numpy(array)).numpy()).all()


@pytest.mark.parametrize("shape", [(4, 5), (0, 4, 5)])
def test_what_has_no_channels(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError, match=r"expected \(C, H, W\) or \(N, C, H, W\)"):
        viewable(torch.zeros(shape))


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "L"), (3, "RGB"), (4, "RGB"), (9, "RGB")])
def test_pictures_and_overlays_of_any_number_of_channels(channels: int, mode: str) -> None:
    image = torch.rand(channels, 6, 8)
    picture = to_picture(image)
    assert (picture.mode, picture.size) == (mode, (8, 6))
    values = torch.rand(6, 8)
    assert overlay(image, values).tobytes() == overlay(viewable(image), values).tobytes()
