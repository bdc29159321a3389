"""Each parameterization gives images back, and makes the difference it is for."""

from typing import Any

import pytest
import torch
from torch import Generator, Tensor

import convscope as cs
from convscope.errors import ImageError
from convscope.image.resize import resize
from convscope.synthesis.parameterizations import PARAMETERIZATIONS
from convscope.synthesis.parameterizations import Generator as OfGenerator
from convscope.synthesis.parameterizations.fourier import Fourier
from convscope.synthesis.parameterizations.natural import amplitudes, colours, frequencies, logit, planes
from convscope.synthesis.parameterizations.phase import Phase
from convscope.synthesis.parameterizations.pixels import Pixels
from convscope.synthesis.parameterizations.pyramid import Pyramid
from convscope.synthesis.parts import PartError

EXACT: list[Any] = [Pixels("clip"), Pixels("sigmoid"), Fourier(), Fourier(decay=1.5), Pyramid(3), Pyramid(1)]


def photograph(rows: int = 40, columns: int = 41) -> Tensor:
    return resize(cs.read_image("chelsea"), (rows, columns)).double()


@pytest.mark.parametrize("form", EXACT, ids=str)
@pytest.mark.parametrize("shape", [(3, 12, 10), (3, 9, 7), (1, 8, 8), (5, 6, 9), (3, 1, 1)])
def test_an_image_comes_back(form: Any, shape: tuple[int, int, int]) -> None:
    x = 0.05 + 0.9 * torch.rand(2, *shape, dtype=torch.float64)
    torch.testing.assert_close(form.images(form.start(x), shape), x, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", PARAMETERIZATIONS)
@pytest.mark.parametrize("shape", [(3, 12, 10), (1, 9, 7), (3, 1, 1)])
def test_noise_is_an_image_of_its_seed(name: str, shape: tuple[int, int, int]) -> None:
    form = PARAMETERIZATIONS[name]()
    draws = [Generator().manual_seed(n) for n in (0, 1, 0)]
    images = form.images(form.noise(shape, draws), shape)
    assert images.shape == (3, *shape)
    assert 0 <= float(images.min()) <= float(images.max()) <= 1
    torch.testing.assert_close(images[0], images[2])
    if shape[1] > 1:
        assert not torch.equal(images[0], images[1])


@pytest.mark.parametrize("name", PARAMETERIZATIONS)
def test_gradients(name: str) -> None:
    form, shape = PARAMETERIZATIONS[name](), (3, 4, 4)
    start = form.noise(shape, [Generator().manual_seed(0)]).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda parameters: form.images(parameters, shape), start)


def slope(images: Tensor) -> float:
    """How fast amplitudes fall with frequency, as a power."""
    spectrum = torch.fft.rfft2(images - images.mean(dim=(-2, -1), keepdim=True)).abs().mean(dim=(0, 1))
    radius = frequencies(images.shape[-2], images.shape[-1])
    low, high = (radius > 0.03) & (radius < 0.08), (radius > 0.25) & (radius < 0.4)
    ratio = (spectrum[low].mean() / spectrum[high].mean()).log()
    return float(ratio / (radius[high].mean() / radius[low].mean()).log())


def test_fourier_steps_are_smooth_where_pixels_are_not() -> None:
    draws = [Generator().manual_seed(n) for n in range(4)]
    shape = (3, 64, 64)
    rough, smooth = (form.images(form.noise(shape, draws), shape) for form in (Pixels(), Fourier()))
    smoother = Fourier(decay=2.0).images(Fourier(decay=2.0).noise(shape, draws), shape)
    assert abs(slope(rough)) < 0.2
    assert slope(smooth) == pytest.approx(1.0, abs=0.2)
    assert slope(smoother) == pytest.approx(2.0, abs=0.3)


def test_phase_keeps_the_amplitudes_of_photographs() -> None:
    form, shape = Phase(), (3, 32, 32)
    draws = [Generator().manual_seed(n) for n in range(2)]
    images = form.images(form.noise(shape, draws), shape)
    spectrum = torch.fft.rfft2(planes(logit(images.double()) / 4, scaled=False), norm="ortho").abs()
    inner = spectrum[:, :, 1:16, 1:16]  # without those that must be real
    torch.testing.assert_close(inner, amplitudes(shape)[:, 1:16, 1:16].expand_as(inner), rtol=1e-2, atol=1e-4)


def test_phase_of_a_photograph_is_still_the_photograph() -> None:
    x = photograph()[None]
    again = Phase().images(Phase().start(x), (3, 40, 41))
    both = torch.stack([x.flatten(), again.flatten()])
    assert float(torch.corrcoef(both)[0, 1]) > 0.6


def test_pyramid_has_large_structure_by_few_parameters() -> None:
    form, shape = Pyramid(levels=3), (3, 16, 16)
    parameters = torch.zeros(1, 3 * (256 + 64 + 16))
    parameters[0, 3 * (256 + 64)] = 1.0
    changed = (form.images(parameters, shape) - 0.5).abs().amax(dim=(0, 1)) > 1e-4
    assert 16 <= int(changed.sum()) < 256
    parameters = torch.zeros_like(parameters)
    parameters[0, 0] = 1.0
    assert int(((form.images(parameters, shape) - 0.5).abs().amax(dim=(0, 1)) > 1e-4).sum()) == 1


def test_colours_come_back_and_are_uncorrelated_in_photographs() -> None:
    x = torch.rand(2, 3, 5, 5, dtype=torch.float64)
    for scaled in (True, False):
        torch.testing.assert_close(colours(planes(x, scaled=scaled), scaled=scaled), x, atol=1e-3, rtol=1e-3)
    flat = planes(photograph()[None], scaled=False)[0].flatten(1)
    assert flat.var(dim=1)[0] > 3 * flat.var(dim=1)[1:].max()
    assert torch.equal(colours(x[:, :2]), x[:, :2])


def test_pixels_are_cut_after_a_step() -> None:
    parameters = torch.tensor([[[[-1.0, 0.5, 2.0]]]])
    Pixels("clip").settle(parameters)
    assert parameters.flatten().tolist() == [0.0, 0.5, 1.0]
    with pytest.raises(PartError, match="expected clip or sigmoid"):
        Pixels("clamp")


def test_a_generator_makes_the_images() -> None:
    form = OfGenerator(lambda z: z[:, :, None, None].sigmoid().expand(-1, 3, 4, 4), (3,))
    z = form.noise((3, 4, 4), [Generator().manual_seed(0)])
    assert form.images(z, (3, 4, 4)).shape == (1, 3, 4, 4)
    with pytest.raises(ImageError, match="the generator made"):
        form.images(z, (3, 5, 5))
    with pytest.raises(ImageError, match="start from noise"):
        form.start(torch.rand(1, 3, 4, 4))
