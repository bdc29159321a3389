import math
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from convscope.image.read import read_image
from convscope.image.resampling import Interpolation, resample, taps

MODES: tuple[Interpolation, ...] = get_args(Interpolation)

modes = st.sampled_from(MODES)
# Large enough for what is measured here to be our own sums, now and then not.
sides = st.integers(90, 260)
scaled_sides = st.integers(1, 100)


def whole(images: Tensor, size: tuple[int, int], mode: Interpolation) -> Tensor:
    return resample(images, size, mode, rows=(0, size[0]), columns=(0, size[1]))


def weights_by_definition(length: int, scaled: int, mode: Interpolation) -> Tensor:
    """How much each of `length` positions weighs in each scaled one (scaled, length), from the filter's formula."""

    def triangle(x: float) -> float:
        return 1 - abs(x) if abs(x) < 1 else 0.0

    def cubic(x: float, a: float = -0.5) -> float:
        x = abs(x)
        if x < 1:
            return (a + 2) * x**3 - (a + 3) * x**2 + 1
        return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0

    weigh = triangle if mode == "bilinear" else cubic
    weights = torch.zeros(scaled, length, dtype=torch.float64)
    for i in range(scaled):
        centre = (i + 0.5) * length / scaled
        for j in range(length):
            weights[i, j] = weigh((j + 0.5 - centre) / max(length / scaled, 1))
        weights[i] /= weights[i].sum()
    return weights


def by_definition(images: Tensor, size: tuple[int, int], mode: Interpolation) -> Tensor:
    down, across = (weights_by_definition(images.shape[axis], size[axis], mode) for axis in (-2, -1))
    return down @ images.double() @ across.T


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("length", "scaled"), [(50, 34), (37, 37), (64, 1), (1, 1), (1, 9), (13, 40), (101, 7)])
def test_taps_are_the_definitions(mode: Interpolation, length: int, scaled: int) -> None:
    found = torch.zeros(scaled, length, dtype=torch.float64)
    made = taps(length, scaled, mode, 0, scaled)
    ends = [*made.begins[1:], len(made.positions)]
    for i, (begin, end) in enumerate(zip(made.begins, ends, strict=True)):
        found[i, made.positions[begin:end]] = torch.from_numpy(made.weights[begin:end]).double()
    torch.testing.assert_close(found, weights_by_definition(length, scaled, mode), rtol=0, atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((1, 3, 120, 97), (56, 61)),
        ((2, 1, 101, 150), (1, 1)),
        ((1, 2, 140, 103), (139, 102)),
        ((3, 4, 90, 131), (7, 1)),
    ],
)
def test_a_twin_by_the_definition(mode: Interpolation, shape: tuple[int, ...], size: tuple[int, int]) -> None:
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    made = whole(images, size, mode)
    assert made.shape == (*shape[:2], *size)
    # PyTorch's rounding of the centres, which ours follows, is the larger part of the difference.
    torch.testing.assert_close(made.double(), by_definition(images, size, mode), rtol=0, atol=2e-5)


@given(st.integers(1, 2), st.integers(1, 4), sides, sides, scaled_sides, st.integers(2, 100), modes)
@settings(max_examples=100, deadline=None)
def test_it_is_pytorchs(
    count: int, channels: int, height: int, width: int, rows: int, columns: int, mode: Interpolation
) -> None:
    """Except to a single column: PyTorch 2.13 on a CPU weighs its rows wrongly."""
    images = torch.rand(count, channels, height, width)
    expected = F.interpolate(images, size=(rows, columns), mode=mode, antialias=True)
    torch.testing.assert_close(whole(images, (rows, columns), mode), expected, rtol=0, atol=1.5e-6)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["chelsea", "astronaut", "coffee"])
def test_photographs_are_pytorchs(name: str, mode: Interpolation) -> None:
    photo = read_image(name)[None]
    expected = F.interpolate(photo, size=(256, 301), mode=mode, antialias=True)
    torch.testing.assert_close(whole(photo, (256, 301), mode), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_a_large_photograph_is_pytorchs(mode: Interpolation) -> None:
    images = torch.rand(1, 3, 3000, 4000)
    expected = F.interpolate(images, size=(256, 341), mode=mode, antialias=True)
    torch.testing.assert_close(whole(images, (256, 341), mode), expected, rtol=0, atol=1e-6)


@given(sides, sides, scaled_sides, scaled_sides, modes, st.floats(0, 1, width=32))
@settings(max_examples=60, deadline=None)
def test_a_constant_stays(height: int, width: int, rows: int, columns: int, mode: Interpolation, value: float) -> None:
    made = whole(torch.full((1, 2, height, width), value), (rows, columns), mode)
    torch.testing.assert_close(made, torch.full((1, 2, rows, columns), value), rtol=0, atol=1e-6)


@given(sides, sides, modes)
@settings(max_examples=30, deadline=None)
def test_the_same_size_is_the_identity(height: int, width: int, mode: Interpolation) -> None:
    images = torch.rand(1, 2, height, width)
    assert torch.equal(whole(images, (height, width), mode), images)
    for length in (height, width):
        made = taps(length, length, mode, 0, length)
        assert made.weights[made.weights != 0].tolist() == [1] * length
        assert made.positions[made.weights != 0].tolist() == list(range(length))


@given(sides, sides, scaled_sides, scaled_sides, modes, st.data())
@settings(max_examples=100, deadline=None)
def test_what_is_kept_is_the_same_to_the_bit(
    height: int, width: int, rows: int, columns: int, mode: Interpolation, data: st.DataObject
) -> None:
    images = torch.rand(2, 3, height, width)
    made = whole(images, (rows, columns), mode)
    top, left = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, columns - 1))
    bottom, right = data.draw(st.integers(top + 1, rows)), data.draw(st.integers(left + 1, columns))
    kept = resample(images, (rows, columns), mode, rows=(top, bottom), columns=(left, right))
    assert torch.equal(kept, made[..., top:bottom, left:right])
    assert torch.equal(whole(images[1:, 2:], (rows, columns), mode), made[1:, 2:])


def test_memory_in_another_order() -> None:
    images = torch.rand(2, 3, 130, 150)
    channels_last = images.contiguous(memory_format=torch.channels_last)
    turned = images.mT.contiguous().mT
    part = F.pad(images, (1, 2, 3, 4))[..., 3:-4, 1:-2]
    for same in (channels_last, turned, part):
        assert torch.equal(whole(same, (60, 70), "bicubic"), whole(images, (60, 70), "bicubic"))


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
def test_derivatives_of_every_kind() -> None:
    image, size = torch.rand(1, 1, 110, 120), (3, 4)
    weights = torch.einsum("ij,kl->ikjl", *(weights_by_definition(*ends, "bicubic") for ends in ((110, 3), (120, 4))))
    forwards = torch.func.jacfwd(lambda image: whole(image, size, "bicubic"))(image)
    backwards = torch.func.jacrev(lambda image: whole(image, size, "bicubic"))(image)
    for found in (forwards, backwards):
        torch.testing.assert_close(found.squeeze().double(), weights, rtol=0, atol=1e-6)
    made = whole(image.requires_grad_(), size, "bicubic")
    with torch.no_grad():
        torch.testing.assert_close(whole(image, size, "bicubic"), made, rtol=0, atol=1e-6)
    (slope,) = torch.autograd.grad(made.square().sum(), image, create_graph=True)
    (curved,) = torch.autograd.grad(slope.sum(), image)
    expected = 2 * weights.sum(dim=(2, 3)).flatten() @ weights.flatten(2).flatten(0, 1)
    torch.testing.assert_close(curved.flatten().double(), expected, rtol=0, atol=1e-6)


def test_float64_is_pytorchs_to_the_bit() -> None:
    images = torch.rand(1, 3, 130, 150, dtype=torch.float64)
    expected = F.interpolate(images, size=(60, 70), mode="bicubic", antialias=True)
    assert torch.equal(whole(images, (60, 70), "bicubic"), expected)


def test_taps_are_kept() -> None:
    assert taps(300, 256, "bicubic", 16, 240) is taps(300, 256, "bicubic", 16, 240)
    assert math.isclose(taps(300, 256, "bicubic", 16, 240).weights.sum(), 224, rel_tol=1e-6)
