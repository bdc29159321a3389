"""Attacks on the network and photographs that come with convscope."""

from pathlib import Path

import pytest
import torch

import convscope as cs


@pytest.mark.slow
def test_a_rocket_becomes_an_ostrich(lite0: cs.Network, tmp_path: Path) -> None:
    image = lite0.read("rocket")
    result = cs.pgd(lite0, image, target="ostrich", epsilon=2 / 255, steps=20)
    assert result.success is True
    assert float(result.norms.linf) <= 2 / 255 + 1e-6
    result.save(tmp_path / "ostrich.png")
    best = lite0.predict(lite0.read(tmp_path / "ostrich.png"), top=1)[0]
    assert best == result.after[0][0]
    assert best.label == "ostrich"


@pytest.mark.slow
def test_the_smallest_change_is_some_ten_times_smaller_than_a_step_s(lite0: cs.Network) -> None:
    image = lite0.read("chelsea")
    smallest = cs.deep_fool(lite0, image)
    step = cs.fgsm(lite0, image, epsilon=2 / 255)
    assert smallest.success
    assert step.success
    assert float(smallest.norms_before_rounding.relative) < 3e-3
    assert float(smallest.norms_before_rounding.l2) < float(step.norms_before_rounding.l2) / 10
    assert not torch.equal(smallest.image, step.image)
