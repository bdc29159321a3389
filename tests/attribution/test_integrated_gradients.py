"""Integrated gradients against a fine sum, against Captum, and by the laws they were made for."""

import copy
from typing import Any, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.planted import corner_share, planted, without_mark
from torch import Tensor, nn

import convscope as cs
from convscope.attribution.canvas import canvas
from convscope.attribution.gradients import checked_batch
from convscope.attribution.integrated_gradients import Baseline, gauss_legendre
from convscope.errors import ConvscopeError


def bent() -> nn.Sequential:
    """A network without corners, on which a few steps are exact enough to compare."""
    return nn.Sequential(
        nn.Conv2d(3, 5, 3, stride=2), nn.Tanh(), nn.Conv2d(5, 4, 3), nn.Softplus(), nn.Flatten(), nn.Linear(60, 4)
    ).double()  # fmt: skip


def network(module: nn.Module) -> cs.Network:
    return cs.Network(module, input_size=(11, 15), mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))


def image(*shape: int) -> Tensor:
    return torch.rand(*shape, 3, 11, 15, dtype=torch.float64)


# --- Their definition ---


def integrated_slowly(net: cs.Network, x: Tensor, origin: Tensor, target: Any, count: int) -> Tensor:
    """The integral of Sundararajan, Taly and Yan 2017 as a sum over the middles of many small parts."""
    total = torch.zeros_like(x)
    for part in range(count):
        at = origin + (part + 0.5) / count * (x - origin)
        total += cs.saliency(net, at, target).values / count
    return (x - origin) * total


@given(st.integers(0, 2**31), st.sampled_from(["black", "gray", "mean", 0.25, -1.5]))
@settings(max_examples=5, deadline=None)
def test_equal_a_fine_sum(seed: int, baseline: Any) -> None:
    torch.manual_seed(seed)
    net, x = network(bent()), image()
    origin = canvas(baseline, x, names=get_args(Baseline))
    result = cs.integrated_gradients(net, x, 2, baseline=baseline)
    expected = integrated_slowly(net, x, origin, 2, 800)
    torch.testing.assert_close(result.values, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("steps", [1, 7, 50])
def test_equal_captum(steps: int) -> None:
    captum = pytest.importorskip("captum.attr")
    module = nn.Sequential(
        nn.Conv2d(3, 5, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(5, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 4)
    ).double()  # fmt: skip
    net, x, baseline = network(module), image(2), image(2)
    mean, std = (torch.tensor(each, dtype=torch.float64)[:, None, None] for each in ((0.4, 0.5, 0.6), (0.2, 0.3, 0.25)))
    peer = captum.IntegratedGradients(lambda batch: module((batch - mean) / std))
    expected = peer.attribute(x, baseline, target=3, n_steps=steps, method="gausslegendre")
    found = cs.integrated_gradients(net, x, 3, baseline=baseline, steps=steps, complete=False).values
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6 * float(expected.abs().max()))


@given(st.integers(1, 20))
def test_the_rule_is_exact_for_polynomials(count: int) -> None:
    places, weights = gauss_legendre(count)
    for power in range(2 * count):
        assert float((weights * places**power).sum()) == pytest.approx(1 / (power + 1), abs=1e-13)


# --- Their laws ---


def test_a_linear_network_gives_weight_times_way() -> None:
    head = nn.Linear(3 * 11 * 15, 4).double()
    net = cs.Network(nn.Sequential(nn.Flatten(), head), input_size=(11, 15))
    x, origin = image(), image()
    result = cs.integrated_gradients(net, x, 1, baseline=origin, steps=1)
    torch.testing.assert_close(result.values, head.weight[1].detach().reshape(x.shape) * (x - origin))
    assert float(result.incompleteness) < 1e-12


def test_they_are_complete_where_the_network_has_no_corners() -> None:
    result = cs.integrated_gradients(network(bent()), image(3), "class:0 - class:3", baseline="gray")
    assert result.difference.shape == (3,)
    torch.testing.assert_close(result.values.sum((1, 2, 3)), result.difference, rtol=1e-9, atol=0)
    assert not result.note


def test_what_is_not_complete_says_so() -> None:
    """With corners, steps miss some of the way: by how much is told."""
    known = planted()
    rough = cs.integrated_gradients(known.network, known.images[:8], known.target, steps=2, complete=False)
    total = rough.values.double().sum((1, 2, 3))
    missed = ((total - rough.difference) / rough.difference).abs()
    torch.testing.assert_close(rough.incompleteness, missed, rtol=1e-4, atol=1e-6)
    assert f"misses the difference to the baseline by {float(missed.max()):.1%}" in rough.note
    torch.testing.assert_close(rough.missed, missed, rtol=1e-4, atol=1e-6)
    fine = cs.integrated_gradients(known.network, known.images[:8], known.target, steps=300)
    assert fine.incompleteness.max() < 1e-3
    assert not fine.note


def test_of_the_planted_network_they_are_complete() -> None:
    known = planted()
    result = cs.integrated_gradients(known.network, known.images, known.target)
    assert result.incompleteness.median() < 1e-3


def test_where_the_image_is_its_baseline_there_is_nothing() -> None:
    x = image()
    x[:, 2:5, 3:9] = 0.5
    result = cs.integrated_gradients(network(bent()), x, 1, baseline="gray", steps=3)
    assert not result.values[:, 2:5, 3:9].any()
    same = cs.integrated_gradients(network(bent()), x, 1, baseline=x, steps=3)
    assert not same.values.any()
    assert float(same.incompleteness) == 0
    assert not same.note


def test_a_constant_added_to_a_logit_changes_nothing() -> None:
    module, x = bent(), image()
    before = cs.integrated_gradients(network(module), x, 1, steps=5).values
    with torch.no_grad():
        next(reversed(list(module.parameters()))).add_(3.0)
    torch.testing.assert_close(cs.integrated_gradients(network(module), x, 1, steps=5).values, before)


def test_a_difference_is_the_difference_of_the_maps() -> None:
    net, x = network(bent()), image()
    one, other, both = (cs.integrated_gradients(net, x, each).values for each in (1, 3, "class:1 - class:3"))
    torch.testing.assert_close(both, one - other)


# --- How they are computed ---


@given(st.integers(1, 12), st.integers(1, 9))
@settings(max_examples=10, deadline=None)
def test_the_batch_changes_nothing(batch: int, steps: int) -> None:
    torch.manual_seed(0)
    net, x = network(bent()), image(2)
    one = cs.integrated_gradients(net, x, 1, steps=steps, batch=1).values
    torch.testing.assert_close(cs.integrated_gradients(net, x, 1, steps=steps, batch=batch).values, one)


def test_a_batch_is_its_images() -> None:
    net, x = network(bent()), image(3)
    together = cs.integrated_gradients(net, x, "class:1", baseline="mean", steps=4)
    for index, one in enumerate(x):
        alone = cs.integrated_gradients(net, one, "class:1", baseline="mean", steps=4)
        torch.testing.assert_close(together.values[index], alone.values)
        torch.testing.assert_close(together.difference[index], alone.difference)


def test_the_type_is_kept_and_runs_are_alike() -> None:
    x = image()
    exact = cs.integrated_gradients(network(bent()), x, 1, steps=3)
    assert exact.values.dtype == torch.float64
    single = network(copy.deepcopy(bent()).float())
    results = [cs.integrated_gradients(single, x.float(), 1, steps=3).values for _ in range(2)]
    assert results[0].dtype == torch.float32
    assert torch.equal(*results)


def test_the_batch_is_chosen_by_what_memory_allows(lite0: cs.Network) -> None:
    assert checked_batch(None, network(bent()), image()) == 32
    wide = cs.Network(nn.Sequential(nn.Conv2d(3, 4096, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()), input_size=128)
    assert 1 < checked_batch(None, lite0, torch.rand(3, 224, 224)) < 32
    assert checked_batch(None, wide, torch.rand(3, 128, 128)) == 1
    assert checked_batch(5, wide, torch.rand(3, 128, 128)) == 5


def test_it_tells_how_far_it_is_and_can_be_stopped() -> None:
    seen: list[tuple[int, int]] = []

    def watch(progress: cs.Progress) -> bool:
        seen.append((progress.done, progress.total))
        return progress.done < 8

    net, x = network(bent()), image(2)
    cs.integrated_gradients(net, x, 1, steps=3, batch=2, progress=watch)
    assert seen == [(2, 6), (3, 6), (5, 6), (6, 6)]
    with pytest.raises(cs.Cancelled, match="9 of 10"):
        cs.integrated_gradients(net, x, 1, steps=5, batch=4, progress=watch)


def test_it_is_made_again_of_another_image_and_network() -> None:
    one, other, x = network(bent()), network(bent()), image(2)
    result = cs.integrated_gradients(one, x[0], 2, baseline=x[1], steps=3)
    expected = cs.integrated_gradients(other, x[1], 2, baseline=x[1], steps=3)
    assert torch.equal(result.again(other, x[1]).values, expected.values)


@pytest.mark.parametrize(
    "target", ["0:3", "0:3@1,2", "2", "1 - 0:2", "class:1 - 0:2", lambda logits: logits.square().sum(1)]
)
def test_any_target_will_do(target: Any) -> None:
    result = cs.integrated_gradients(network(bent()), image(2), target)
    torch.testing.assert_close(result.values.sum((1, 2, 3)), result.difference, rtol=1e-9, atol=1e-12)


def test_what_can_not_be_is_refused() -> None:
    net, x = network(bent()), image()
    for options, message in [
        ({"steps": 0}, "steps=0"),
        ({"batch": 0}, "batch=0"),
        ({"baseline": "blak"}, "unknown baseline 'blak'; nearest: black"),
        ({"baseline": torch.rand(3, 4, 4)}, r"baseline of shape \(3, 4, 4\); expected .*\(3, 11, 15\)"),
    ]:
        with pytest.raises(ConvscopeError, match=message):
            cs.integrated_gradients(net, x, 1, **options)  # type: ignore[arg-type]


# --- What they find ---


def test_a_planted_mark_is_found() -> None:
    known = planted()
    result = cs.integrated_gradients(known.network, known.images, known.target)
    assert corner_share(result.reduced("signed")).median() >= 0.8
    assert (known.network.logits(without_mark(known.images)).argmax(1) != known.marked).all()


@pytest.mark.parametrize("name", ["chelsea", "astronaut", "coffee"])
def test_of_a_real_network_they_are_complete_and_hardly_changed_for_it(lite0: cs.Network, name: str) -> None:
    image = lite0.read(name)
    best = lite0.predict(image, top=1)[0].index
    result = cs.integrated_gradients(lite0, image, best, steps=12)
    total = float(result.values.double().sum())
    assert total == pytest.approx(float(result.difference), rel=1e-5)
    assert float(result.missed) > 1e-3
    assert abs(float(result.closed)) < 0.03
    assert ("changing each value" in result.note) == (abs(float(result.closed)) >= 0.01)


def test_closing_changes_every_value_by_the_same_part() -> None:
    known = planted()
    closed = cs.integrated_gradients(known.network, known.images[0], known.target, steps=2)
    left = cs.integrated_gradients(known.network, known.images[0], known.target, steps=2, complete=False)
    assert float(closed.closed) != 0
    assert float(left.closed) == 0
    expected = left.values + float(closed.closed) * left.values.abs()
    torch.testing.assert_close(closed.values, expected)
