"""Rounding to what a file holds keeps the ball, and what was reached."""

import torch
from tests.fooling.attacked import SIDE, affine, curved, pictures

import convscope as cs
from convscope.fooling.ball import Ball
from convscope.fooling.rounding import rounded


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


def test_a_smallest_change_that_rounding_loses_grows_as_a_whole() -> None:
    images = (pictures(20, seed=4) * 255).round() / 255
    network = curved()
    result = cs.carlini_wagner(network, images, searches=4, steps=40)
    own = network.logits(images).argmax(dim=1)
    found = network.logits(result.exact).argmax(dim=1) != own
    assert bool(result.successes[found].all())
    # What rounding adds to a change is at most half a level each, and a stretch of it.
    most = 1.4 * result.norms_before_rounding.l2 + (0.5 / 255) * images[0].numel() ** 0.5
    assert bool((result.norms.l2[found] <= most[found]).all())
