"""A generator's code as what is optimized: nothing is made that the generator can't make."""

from collections.abc import Callable

import pytest
import torch
from tests.digits_network import digits_network
from torch import Tensor

import convscope as cs
from convscope.errors import Cancelled, ImageError
from convscope.synthesis.parameterizations import Generator

TEMPLATES = 30


def mixtures() -> Tensor:
    """Thirty digits `(30, 256)`, three of each."""
    truth = digits_network()
    chosen = [index for digit in range(10) for index in (truth.labels == digit).nonzero()[:3, 0].tolist()]
    return truth.images[chosen].flatten(1)


def mixing(templates: Tensor) -> Callable[[Tensor], Tensor]:
    """Codes `(N, 30)` to mixtures of the templates, in [0, 1] as these are."""
    return lambda codes: (codes.softmax(dim=1) @ templates).reshape(-1, 1, 16, 16)


def made(target: str = "3", **options: object) -> cs.Maximized:
    generator = Generator(mixing(mixtures()), (TEMPLATES,))
    given = {"steps": 40, "optimizer": "adam:0.2", "transforms": "none", "parameterization": generator, **options}
    return cs.maximize(digits_network().network, target, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("digit", range(10))
def test_the_image_is_one_that_the_generator_makes_and_of_the_class(digit: int) -> None:
    templates = mixtures()
    result = made(str(digit))
    image = result.image.flatten()
    weights = torch.linalg.lstsq(templates.T.double(), image.double()[:, None]).solution[:, 0]
    # Nothing lies outside the span but the rounding to what a file holds.
    outside = templates.T.double() @ weights - image
    assert float(outside.square().mean().sqrt()) <= 0.5 / 255
    assert float(weights[3 * digit : 3 * digit + 3].sum()) > 0.5
    assert float(result.probabilities[0]) > 0.9
    assert float(result.values[-1, 0]) > float(result.values[0, 0])


def test_seeds_and_batches() -> None:
    both = made(count=2, seed=4, steps=3)
    assert not torch.equal(both.images[0], both.images[1])
    torch.testing.assert_close(both.images[1:], made(seed=5, steps=3).images, atol=1.5 / 255, rtol=0)
    torch.testing.assert_close(both.images, made(count=2, seed=4, steps=3, batch=1).images, atol=1.5 / 255, rtol=0)
    assert torch.equal(both.images, made(count=2, seed=4, steps=3).images)


def test_the_deviation_is_that_of_the_codes_at_random() -> None:
    draws = [torch.Generator().manual_seed(seed) for seed in range(400)]
    wide = Generator(mixing(mixtures()), (TEMPLATES,), deviation=3.0).noise((1, 16, 16), draws)
    assert wide.shape == (400, TEMPLATES)
    assert float(wide.std()) == pytest.approx(3, rel=0.05)


def test_any_module_may_be_the_generator_and_stays_as_it_was() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = torch.nn.Sequential(
            torch.nn.ConvTranspose2d(4, 8, 4, stride=4), torch.nn.ReLU(), torch.nn.Conv2d(8, 1, 1), torch.nn.Sigmoid()
        )
    before = {name: value.clone() for name, value in module.state_dict().items()}
    result = made(parameterization=Generator(module, (4, 4, 4)))
    assert result.images.shape == (1, 1, 16, 16)
    assert float(result.values[-1, 0]) > float(result.values[0, 0])
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert all(value.grad is None for value in module.parameters())


def test_what_a_generator_cannot_do() -> None:
    with pytest.raises(ImageError, match=r"the generator made \(1, 1, 8, 32\) of codes \(1, 30\); expected \(1, 1, 16"):
        made(parameterization=Generator(lambda codes: mixing(mixtures())(codes).reshape(-1, 1, 8, 32), (TEMPLATES,)))
    with pytest.raises(ImageError, match="start from noise"):
        made(start=torch.zeros(1, 16, 16))
    with pytest.raises(ImageError, match="start from noise"):
        made(regularizers="blur:1")


def test_stopped_it_has_an_image_of_the_generators() -> None:
    with pytest.raises(Cancelled) as stopped:
        made(progress=lambda progress: progress.done < 2)
    assert stopped.value.so_far.shape == (1, 1, 16, 16)
