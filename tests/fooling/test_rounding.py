"""Rounding to what a file holds keeps the ball, and what was reached."""

import pytest
import torch
from tests.fooling.attacked import SIDE, affine, curved, pictures

import convscope as cs
from convscope.fooling.answering import Answering
from convscope.fooling.attack import Given
from convscope.fooling.ball import Ball
from convscope.fooling.rounding import _STRETCHES, as_read, rounded, settled


def test_levels_are_the_nearest_within_the_ball() -> None:
    starts = torch.tensor([10.3, 10.3, 0.2, 254.9]).double().reshape(1, 1, 2, 2) / 255
    exact = torch.tensor([12.3, 8.3, 2.1, 252.9]).double().reshape(1, 1, 2, 2) / 255
    levels, _, _ = rounded(exact, starts, Ball("linf", 2 / 255))
    assert levels.flatten().tolist() == [12, 9, 2, 253]
    assert rounded(exact, starts, None)[0].flatten().tolist() == [12, 8, 2, 253]
    assert rounded(exact, starts, Ball("linf", 0.1 / 255))[0].flatten().tolist() == [10, 10, 0, 255]


def test_what_lies_on_a_level_keeps_its_whole_ball() -> None:
    starts = torch.arange(256).reshape(1, 1, 16, 16).float() / 255
    levels, low, high = rounded(starts, starts, Ball("linf", 2 / 255))
    assert torch.equal(low.flatten(), (torch.arange(256.0) - 2).clamp(min=0))
    assert torch.equal(high.flatten(), (torch.arange(256.0) + 2).clamp(max=255))
    assert torch.equal(levels.flatten(), torch.arange(256.0))


def test_the_smallest_changes_survive() -> None:
    # On levels already: nearest rounding would undo every change that is smaller than half of one.
    images = (pictures(20, seed=4) * 255).round() / 255
    for network in (curved(), affine(3)):
        result = cs.deep_fool(network, images, overshoot=0.0001)
        assert bool(result.successes.all())
    near = images[:1] + 0
    result = cs.deep_fool(curved(), near)
    assert result.success.all() if isinstance(result.success, torch.Tensor) else result.success


def test_only_what_is_lost_is_changed_further() -> None:
    images = pictures(6, seed=2)
    result = cs.pgd(curved(), images, epsilon=0.4, steps=8)
    assert bool(result.successes.all())
    nearest, _, _ = rounded(result.exact, images, Ball("linf", 0.4))
    assert torch.equal(result.images, (nearest.float() / 255).double())
    assert result.images.shape == (6, 3, SIDE, SIDE)


@pytest.mark.parametrize("kind", ["curved", "affine"])
def test_a_smallest_change_that_rounding_loses_grows_as_a_whole(kind: str) -> None:
    network, images = curved() if kind == "curved" else affine(3), pictures(40, seed=4)
    exact = cs.deep_fool(network, images, overshoot=0.002).exact
    own = network.logits(images).argmax(dim=1)
    nearest = rounded(exact, images, None)[0]
    lost = network.logits(as_read(nearest, exact)).argmax(dim=1) == own
    assert bool((network.logits(exact).argmax(dim=1) != own).all())
    assert 10 <= int(lost.sum()) <= 30
    given = Given.checked(network, images, None, None)
    answering = Answering(network, (3, SIDE, SIDE), len(images))
    levels = settled(answering, given.wanted, torch.arange(len(images)), exact, images, None)
    assert bool((network.logits(as_read(levels, exact)).argmax(dim=1) != own).all())
    # Each is a rounding of what was found, gone on with in its own direction, and no single level beside it.
    larger = [rounded(images + times * (exact - images), images, None)[0] for times in _STRETCHES]
    equal = torch.stack([(levels == each).flatten(1).all(dim=1) for each in [nearest, *larger]])
    assert bool(equal.any(dim=0)[lost].all())
    assert not bool(equal[0][lost].any())
