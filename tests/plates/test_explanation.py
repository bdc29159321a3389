"""The explanation: a row a target, a column a rule, each map that which saliency gives alone."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import convscope as cs
from convscope.attribution.attribution import Reduction, Style
from convscope.errors import RuleError, TargetError
from convscope.image.write import read_recipe
from convscope.network.rules import RULES, Rule


@pytest.fixture
def net(tiny: nn.Module) -> cs.Network:
    return cs.Network(tiny, input_size=16, labels=["ant", "bee", "cat", "dog", "eel"])


@pytest.fixture
def image() -> Tensor:
    return torch.rand(3, 16, 16)


def test_each_map_is_what_saliency_gives(net: cs.Network, image: Tensor) -> None:
    targets = ["bee", "class:0 - cat", "3:2@1,1"]
    rules: tuple[Rule, ...] = ("deconvnet", "gradient")
    result = cs.explanation(net, image, targets, rules=rules)
    assert result.rules == rules
    assert [len(row) for row in result.maps] == [2, 2, 2]
    for target, row in zip(targets, result.maps, strict=True):
        for rule, each in zip(rules, row, strict=True):
            alone = cs.saliency(net, image, target, rule=rule)
            assert torch.equal(each.values, alone.values)
            assert (each.target, each.recipe) == (target, alone.recipe)


def test_all_rules_by_default(net: cs.Network, image: Tensor) -> None:
    result = cs.explanation(net, image, ["bee"])
    assert result.rules == RULES
    assert len(result.maps[0]) == len(RULES)


def test_recipe(lite0: cs.Network) -> None:
    image = lite0.prepare(cs.read_image("chelsea"))
    recipe = cs.explanation(lite0, image, ["tabby", 285], rules=["gradient"]).recipe
    assert recipe.method == "explanation"
    assert recipe.parameters == {"targets": ["tabby", "class:285"], "rules": ["gradient"], "smooth": None}
    assert [each.name for each in recipe.inputs] == ["chelsea"]


@pytest.mark.parametrize("style", get_args(Style))
def test_picture_grows_with_targets_and_rules(net: cs.Network, image: Tensor, style: Style) -> None:
    def size(targets: list[str], rules: tuple[Rule, ...]) -> tuple[int, int]:
        picture = cs.explanation(net, image, targets, rules=rules).picture(style=style)
        assert np.asarray(picture).std() > 0
        return picture.size

    one = size(["bee"], ("gradient",))
    assert size(["bee"], RULES)[0] > one[0]
    assert size(["bee", "cat"], ("gradient",))[1] > one[1]


@pytest.mark.parametrize("reduction", get_args(Reduction))
def test_reductions_are_drawn(net: cs.Network, image: Tensor, reduction: Reduction) -> None:
    assert isinstance(cs.explanation(net, image, ["bee"]).picture(reduction=reduction), Image.Image)


def test_saved_with_its_options(net: cs.Network, image: Tensor, tmp_path: Path) -> None:
    cs.explanation(net, image, ["bee"]).save(tmp_path / "figure.png", style="overlay")
    assert read_recipe(tmp_path / "figure.png").picture == {"style": "overlay"}


def test_errors_are_those_of_saliency(net: cs.Network, image: Tensor) -> None:
    with pytest.raises(TargetError, match="nearest: bee"):
        cs.explanation(net, image, ["ant", "beee"])
    with pytest.raises(RuleError, match="unknown rule"):
        cs.explanation(net, image, ["ant"], rules=["guide"])  # type: ignore[list-item]
    smooth = cs.Network(nn.Sequential(nn.Conv2d(3, 2, 3), nn.SiLU(), nn.Flatten(), nn.Linear(392, 2)), input_size=16)
    with pytest.raises(RuleError, match="smooth='positive'"):
        cs.explanation(smooth, image, [0])
    assert len(cs.explanation(smooth, image, [0], smooth="positive").maps[0]) == 3
