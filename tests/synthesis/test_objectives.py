"""Objectives: each against its definition, and their algebra."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.synthesis.networks import small
from torch import Tensor

from convscope.errors import LayerError, TargetError
from convscope.network.answers import Answers
from convscope.synthesis.objectives import (
    Objective,
    Seen,
    asked,
    direction,
    diversity,
    each,
    energy,
    gram,
    gram_match,
    match,
    measured,
    relative_error,
)

LAYER = "3"


def images(count: int = 3) -> Tensor:
    return torch.rand(count, 3, 24, 24, generator=torch.Generator().manual_seed(5))


def activations(count: int = 3) -> Tensor:
    return small().capture(images(count), [LAYER])[LAYER]


def seen(layer: Tensor) -> Seen:
    answers = Answers(None, {"layer": layer}, small().reader, len(layer))
    return Seen(torch.zeros(len(layer), 3, 4, 4, dtype=layer.dtype), answers)


def test_energy_has_the_activation_for_its_gradient() -> None:
    a = torch.randn(2, 3, 4, 5, dtype=torch.float64).requires_grad_()
    (gradient,) = torch.autograd.grad(energy("layer").value(seen(a)).sum(), a)
    torch.testing.assert_close(gradient, a / (3 * 4 * 5))


def test_a_target_is_what_the_network_scores() -> None:
    net = small()
    for text in ("class:2", "class:1 - class:3", f"{LAYER}:4", f"{LAYER}:4@2,3", LAYER):
        objective = asked(net.target(text))
        torch.testing.assert_close(measured(net, objective, images()), net.score(images(), text))


def test_algebra() -> None:
    net, x = small(), images()
    one, two = energy(LAYER), asked(net.target("class:1"))
    values = [measured(net, each_, x) for each_ in (one, two)]
    torch.testing.assert_close(measured(net, 2 * one - two * 3 + one, x), 3 * values[0] - 3 * values[1])
    joined = 2 * (one + two)
    assert joined.layers == (LAYER,)
    assert joined.whole
    assert joined.text == f"2 × (energy of {LAYER} + class:1)"


def test_each_image_has_its_own() -> None:
    net, x = small(), images()
    three = [asked(net.target(f"class:{index}")) for index in range(3)]
    together = measured(net, each(three), x)
    torch.testing.assert_close(together, torch.stack([net.logits(x)[index, index] for index in range(3)]))
    assert each([three[0]] * 3) is three[0]


def test_direction_by_place() -> None:
    a, v = torch.randn(2, 3, 2, 2, dtype=torch.float64), torch.randn(3, dtype=torch.float64)
    for power in (0.0, 2.0):
        expected = torch.zeros(2, dtype=torch.float64)
        for n in range(2):
            for i in range(2):
                for j in range(2):
                    place = a[n, :, i, j]
                    cosine = max(0.1, float(place @ v / (place.norm() * v.norm())))
                    expected[n] += (place @ v) * cosine**power / 4
        torch.testing.assert_close(direction("layer", v, power=power).value(seen(a)), expected)
    flat = torch.randn(2, 3, dtype=torch.float64)
    torch.testing.assert_close(direction("layer", v).value(seen(flat)), flat @ v)


def test_match_is_the_relative_error() -> None:
    a, code = torch.randn(2, 3, 2, 2), torch.randn(3, 2, 2)
    expected = torch.stack([(one - code).square().sum() / code.square().sum() for one in a])
    torch.testing.assert_close(relative_error(a, code), expected)
    torch.testing.assert_close(match({"layer": code}).value(seen(a)), -expected)
    assert float(match({"layer": a[0]}).value(seen(a))[0]) == 0


def test_gram_sums_outer_products_over_places() -> None:
    a = torch.randn(2, 4, 3, 5, dtype=torch.float64)
    expected = torch.zeros(2, 4, 4, dtype=torch.float64)
    for n in range(2):
        for i in range(3):
            for j in range(5):
                expected[n] += torch.outer(a[n, :, i, j], a[n, :, i, j]) / 15
    torch.testing.assert_close(gram(a), expected)


@given(st.permutations(range(12)))
def test_gram_forgets_places(order: list[int]) -> None:
    a = torch.arange(36, dtype=torch.float64).reshape(1, 3, 3, 4)
    moved = a.flatten(2)[..., order].reshape(a.shape)
    torch.testing.assert_close(gram(moved), gram(a))


def test_gram_match_counts_layers_alike() -> None:
    a = torch.randn(2, 4, 3, 5, dtype=torch.float64)
    wanted = gram(a[:1])[0]
    value = gram_match({"layer": wanted}).value(seen(a))
    assert float(value[0]) == pytest.approx(0)
    difference = (gram(a)[1] - wanted).square().sum() / wanted.square().sum()
    assert float(value[1]) == pytest.approx(-float(difference))


def test_diversity_falls_with_likeness() -> None:
    a = torch.randn(1, 4, 5, 5)
    alike, unlike = torch.cat([a, a]), torch.cat([a, torch.randn(1, 4, 5, 5)])
    assert torch.allclose(diversity("layer").value(seen(alike)), torch.tensor(-1.0))
    assert (diversity("layer").value(seen(unlike)) > -1).all()
    assert float(diversity("layer").value(seen(a))) == 0


@pytest.mark.parametrize(
    "objective",
    [
        energy("layer"),
        direction("layer", torch.tensor([1.0, -2.0, 0.5])),
        direction("layer", torch.tensor([1.0, -2.0, 0.5]), power=2),
        match({"layer": torch.ones(3, 2, 2)}),
        gram_match({"layer": torch.eye(3)}),
        diversity("layer"),
    ],
    ids=lambda each: each.text,
)
def test_gradients(objective: Objective) -> None:
    a = torch.randn(2, 3, 2, 2, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda layer: objective.value(seen(layer)), a)


def test_errors() -> None:
    with pytest.raises(LayerError, match="nearest"):
        measured(small(), energy("33"), images())
    with pytest.raises(TargetError, match="not run"):
        energy("other").value(seen(torch.rand(1, 2, 2, 2)))
