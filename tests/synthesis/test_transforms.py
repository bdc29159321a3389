"""Each transform moves, turns or sizes the image as it says."""

import math

import pytest
import torch
from torch import Generator, Tensor

from convscope.synthesis.transforms import TRANSFORMS, transformed
from convscope.synthesis.transforms.crop import Crop
from convscope.synthesis.transforms.jitter import Jitter
from convscope.synthesis.transforms.noise import Noise
from convscope.synthesis.transforms.pad import Pad
from convscope.synthesis.transforms.rotate import Rotate
from convscope.synthesis.transforms.scale import Scale
from convscope.synthesis.transforms.transform import Transform, rotation, scaling, shift, warped


def blob(side: int = 32, row: float = 15.5, column: float = 15.5, width: float = 3.0) -> Tensor:
    """A bright spot on grey."""
    rows, columns = torch.meshgrid(torch.arange(side).double(), torch.arange(side).double(), indexing="ij")
    return (0.5 + 0.5 * torch.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * width**2)))[None, None]


def middle(image: Tensor) -> tuple[float, float]:
    weights = (image[0, 0] - 0.5).clamp(min=0.01) - 0.01
    rows, columns = torch.meshgrid(*(torch.arange(side).double() for side in weights.shape), indexing="ij")
    return float((weights * rows).sum() / weights.sum()), float((weights * columns).sum() / weights.sum())


def width(image: Tensor) -> float:
    return math.sqrt(float((image[0, 0] - 0.5).clamp(min=0).sum()))


def see(image: Tensor, *transforms: Transform, seed: int = 0) -> Tensor:
    size = image.shape[-2], image.shape[-1]
    return transformed(image, transforms, [Generator().manual_seed(seed + n) for n in range(len(image))], size)


def test_nothing_changes_nothing() -> None:
    x = torch.rand(2, 3, 7, 9)
    assert torch.equal(see(x), x)
    torch.testing.assert_close(warped(x, [torch.eye(3)] * 2, (7, 9)), x)


@pytest.mark.parametrize("pixels", [1, 2, 3, 8])
def test_jitter_moves_by_whole_pixels_and_no_further(pixels: int) -> None:
    x = blob()
    moves = set()
    for seed in range(60):
        row, column = middle(see(x, Jitter(pixels), seed=seed))
        moves.add((round(row - 15.5), round(column - 15.5)))
        assert abs(row - 15.5 - round(row - 15.5)) < 0.05
    reach = max(max(abs(each) for each in move) for move in moves)
    assert reach == math.ceil(pixels / 2)
    assert len(moves) > pixels


def test_scale_within_its_bounds() -> None:
    x = blob()
    sizes = [width(see(x, Scale(0.8, 1.25), seed=seed)) / width(x) for seed in range(40)]
    assert min(sizes) == pytest.approx(0.8, abs=0.05)
    assert max(sizes) == pytest.approx(1.25, abs=0.05)


def test_rotate_within_its_bounds() -> None:
    x = blob(row=15.5, column=25.5)
    angles = []
    for seed in range(40):
        row, column = middle(see(x, Rotate(20), seed=seed))
        angles.append(math.degrees(math.atan2(row - 15.5, column - 15.5)))
    assert 15 < max(angles) < 21
    assert -21 < min(angles) < -15


def test_pad_shows_grey_around_all_of_it() -> None:
    x = torch.zeros(1, 1, 32, 32)
    padded = see(x, Pad(8))
    assert float(padded[0, 0, 0, 0]) == 0.5
    assert float(padded[0, 0, 16, 16]) == 0.0
    assert float((padded == 0.5).double().mean()) == pytest.approx(1 - (32 / 48) ** 2, abs=0.1)


def test_crop_shows_a_piece_from_within() -> None:
    x = torch.zeros(1, 1, 64, 64)
    x[..., 32:] = 1
    seen = [transformed(x, [Crop(0.25, 0.25)], [Generator().manual_seed(s)], (24, 24)) for s in range(40)]
    assert all(each.shape == (1, 1, 24, 24) for each in seen)
    assert not any((each == 0.5).all() for each in seen)
    means = [float(each.mean()) for each in seen]
    assert means.count(0.0) > 5
    assert means.count(1.0) > 5
    corner = [float(each.min()) for each in seen]
    assert 0.5 not in corner  # never from beyond the edges


def test_crop_of_another_shape_stays_within() -> None:
    x = torch.ones(1, 1, 40, 90)
    for seed in range(30):
        assert float(transformed(x, [Crop(0.3, 1.0)], [Generator().manual_seed(seed)], (24, 24)).min()) > 0.9


def test_noise_has_its_deviation() -> None:
    x = torch.full((2, 3, 64, 64), 0.5)
    noise = see(x, Noise(0.1)) - x
    assert float(noise.std()) == pytest.approx(0.1, rel=0.05)
    assert not torch.equal(noise[0], noise[1])


def test_a_chain_is_sampled_once_and_means_the_same() -> None:
    """Moves and turns one after another, against one matrix."""
    x = blob(48, row=23.5, column=30.5)
    steps = [rotation(7), scaling(1.1), shift(2, -3)]
    slow = x
    for step in steps:
        slow = warped(slow, [step], (48, 48))
    fast = warped(x, [steps[0] @ steps[1] @ steps[2]], (48, 48))
    assert middle(fast) == pytest.approx(middle(slow), abs=0.1)
    assert float((fast - slow).abs().max()) < 0.02


@pytest.mark.parametrize("name", TRANSFORMS)
def test_an_image_is_changed_as_if_it_were_alone(name: str) -> None:
    x = torch.rand(3, 3, 16, 16)
    part = TRANSFORMS[name]()
    together = transformed(x, [part], [Generator().manual_seed(n) for n in range(3)], (16, 16))
    alone = transformed(x[2:], [part], [Generator().manual_seed(2)], (16, 16))
    torch.testing.assert_close(together[2:], alone)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_gradients_flow_through(name: str) -> None:
    x = torch.rand(1, 1, 6, 6, dtype=torch.float64).requires_grad_()

    def through(image: Tensor) -> Tensor:
        return transformed(image, [TRANSFORMS[name]()], [Generator().manual_seed(4)], (6, 6))

    assert torch.autograd.gradcheck(through, x)


def test_a_function_of_ones_own() -> None:
    x = torch.rand(2, 3, 8, 8)
    assert torch.equal(see(x, lambda images: images.flip(-1)), x.flip(-1))
