"""SmoothGrad against its definition written out, with the same noise."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.planted import corner_share, planted
from torch import Tensor, nn

import convscope as cs
from convscope.errors import ConvscopeError
from convscope.network.rules import RULES, Rule


@pytest.fixture
def net(tiny: nn.Module) -> cs.Network:
    return cs.Network(tiny.double(), input_size=16)


def image(*shape: int) -> Tensor:
    return torch.rand(*shape, 3, 16, 16, dtype=torch.float64)


def smoothed_slowly(
    net: cs.Network, x: Tensor, target: Any, samples: int, noise: float, rule: Rule, seed: int
) -> Tensor:
    """The mean of Smilkov et al. 2017, a copy at a time."""
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros_like(x)
    for _ in range(samples):
        drawn = torch.randn(x.shape, generator=generator, dtype=torch.float64)
        total += cs.saliency(net, x + noise * (x.max() - x.min()) * drawn, target, rule=rule).values
    return total / samples


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("samples", "noise", "seed"), [(1, 0.1, 0), (6, 0.3, 5), (25, 0.1, 0)])
def test_equals_its_definition(net: cs.Network, rule: Rule, samples: int, noise: float, seed: int) -> None:
    x = image() * 0.5 + 0.2
    expected = smoothed_slowly(net, x, 2, samples, noise, rule, seed)
    result = cs.smooth_grad(net, x, 2, samples=samples, noise=noise, rule=rule, seed=seed)
    torch.testing.assert_close(result.values, expected, rtol=0, atol=1e-12)


def test_without_noise_it_is_the_saliency(net: cs.Network) -> None:
    x = image(2)
    found = cs.smooth_grad(net, x, "class:1 - class:3", noise=0, samples=3).values
    torch.testing.assert_close(found, cs.saliency(net, x, "class:1 - class:3").values)


@given(st.integers(1, 9))
@settings(max_examples=6, deadline=None)
def test_the_batch_changes_nothing(batch: int) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3)).double()
    small, x = cs.Network(module, input_size=8), torch.rand(2, 3, 8, 8, dtype=torch.float64)
    one = cs.smooth_grad(small, x, 1, samples=7, batch=1).values
    torch.testing.assert_close(cs.smooth_grad(small, x, 1, samples=7, batch=batch).values, one)


def test_a_batch_is_its_images(net: cs.Network) -> None:
    x = image(3)
    together = cs.smooth_grad(net, x, "class:1", samples=4)
    for index, one in enumerate(x):
        torch.testing.assert_close(together.values[index], cs.smooth_grad(net, one, "class:1", samples=4).values)


def test_the_noise_has_its_own_seed(net: cs.Network) -> None:
    x = image()
    before = torch.get_rng_state()
    first = cs.smooth_grad(net, x, 1, samples=3).values
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)
    assert torch.equal(cs.smooth_grad(net, x, 1, samples=3).values, first)
    assert not torch.equal(cs.smooth_grad(net, x, 1, samples=3, seed=1).values, first)


def test_an_image_of_one_value_has_no_range_and_gets_no_noise(net: cs.Network) -> None:
    grey = torch.full((3, 16, 16), 0.5, dtype=torch.float64)
    torch.testing.assert_close(cs.smooth_grad(net, grey, 1, samples=3).values, cs.saliency(net, grey, 1).values)


def test_its_recipe_says_all_that_made_it(net: cs.Network) -> None:
    x = image()
    recipe = cs.smooth_grad(net, x, 1, samples=3, noise=0.2, rule="guided", seed=4, batch=2).recipe
    assert recipe.parameters == {"target": "class:1", "samples": 3, "noise": 0.2, "rule": "guided", "smooth": None}
    assert (recipe.seed, recipe.batch) == (4, 2)


def test_it_is_made_again_of_another_image(net: cs.Network) -> None:
    x = image(2)
    result = cs.smooth_grad(net, x[0], 2, samples=3, noise=0.2, seed=7)
    assert torch.equal(
        result.again(net, x[1]).values, cs.smooth_grad(net, x[1], 2, samples=3, noise=0.2, seed=7).values
    )


def test_smooth_is_passed_on() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU(), nn.Flatten(), nn.Linear(144, 2))
    swish, x = cs.Network(module, input_size=8), torch.rand(3, 8, 8)
    with pytest.raises(cs.RuleError):
        cs.smooth_grad(swish, x, 0, rule="guided")
    assert cs.smooth_grad(swish, x, 0, rule="guided", smooth="positive", samples=2).values.any()


def test_it_can_be_stopped(net: cs.Network) -> None:
    seen: list[int] = []

    def watch(progress: cs.Progress) -> bool:
        seen.append(progress.done)
        return progress.done < 4

    with pytest.raises(cs.Cancelled, match="4 of 10"):
        cs.smooth_grad(net, image(2), 1, samples=5, batch=4, progress=watch)
    assert seen == [4]


@pytest.mark.parametrize("options", [{"samples": 0}, {"noise": -0.1}, {"noise": float("nan")}, {"batch": 0}])
def test_what_can_not_be_is_refused(net: cs.Network, options: dict[str, Any]) -> None:
    with pytest.raises(ConvscopeError, match="expected"):
        cs.smooth_grad(net, image(), 1, **options)


def test_a_planted_mark_is_found() -> None:
    known = planted()
    result = cs.smooth_grad(known.network, known.images, known.target)
    assert corner_share(result.reduced("signed")).median() >= 0.8
