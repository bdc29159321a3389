"""Smoothing: a softmax over all of a layer, and what it does to style."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.synthesis.networks import small
from tests.synthesis.test_style import CONTENT, NIGHT, made
from torch import Tensor

from convscope.synthesis.objectives import gram
from convscope.synthesis.objectives.smoothing import smoothed

seeds = st.integers(0, 999)


def features(seed: int, scale: float = 3.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64)


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_it_is_its_definition(seed: int) -> None:
    maps = features(seed)
    for found, one in zip(smoothed(maps).numpy(), maps.numpy(), strict=True):
        total = sum(np.exp(value) for value in one.flat)
        np.testing.assert_allclose(found, 60 * np.exp(one) / total)


@given(seeds, st.floats(-500, 500))
@settings(max_examples=20, deadline=None)
def test_a_constant_more_changes_nothing_and_the_mean_is_one(seed: int, constant: float) -> None:
    maps = features(seed)
    torch.testing.assert_close(smoothed(maps + constant), smoothed(maps))
    torch.testing.assert_close(smoothed(maps).mean(dim=(1, 2, 3)), torch.ones(2, dtype=torch.float64))


def test_the_order_stays_and_the_gradient_holds() -> None:
    maps = features(1)
    assert torch.equal(smoothed(maps).flatten(1).argsort(), maps.flatten(1).argsort())
    assert torch.autograd.gradcheck(smoothed, features(2).requires_grad_())


def test_large_activations_stay_numbers() -> None:
    assert smoothed(1e4 * features(3)).isfinite().all()


def test_both_terms_of_style_are_of_what_is_smoothed() -> None:
    result = made(smoothing=True, steps=2, dream="4")
    code, own, style = (small().capture(each, ["0", "4"]) for each in (result.image, CONTENT, NIGHT))
    shown, wanted = (smoothed(each["4"][None]) for each in (code, own))
    assert result.losses["content"] == pytest.approx(
        float((shown - wanted).square().sum() / wanted.square().sum()), rel=1e-3
    )
    total = 0.0
    for name, each in style.items():
        found, asked = gram(smoothed(code[name][None])), gram(smoothed(each[None]))
        total += float((found - asked).square().sum() / asked.square().sum()) / 2
    assert result.losses["style"] == pytest.approx(total, rel=1e-3)
    energy = [float(each["4"].square().mean()) for each in (code, own)]
    assert result.losses["dream"] == pytest.approx(np.log(energy[0] / energy[1]), rel=1e-3)


def test_its_recipe_and_its_effect() -> None:
    plain: Any = made(steps=3)
    result = made(smoothing=True, steps=3)
    assert not torch.equal(plain.images, result.images)
    assert (plain.recipe.parameters["smoothing"], result.recipe.parameters["smoothing"]) == (False, True)
