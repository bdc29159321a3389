"""The explanation: a row a target, a column a method, each map that which the method gives alone, with its verdict."""

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import convscope as cs
from convscope.attribution.attribution import Reduction, Style
from convscope.attribution.methods import METHODS
from convscope.attribution.verdict import verdict
from convscope.errors import Cancelled, ConvscopeError, LayerError, RuleError, TargetError
from convscope.image.write import read_recipe
from convscope.plates.explanation import USUAL
from convscope.progress import Progress


@pytest.fixture
def net(tiny: nn.Module) -> cs.Network:
    return cs.Network(tiny, input_size=16, labels=["ant", "bee", "cat", "dog", "eel"])


@pytest.fixture
def image() -> Tensor:
    return torch.rand(3, 16, 16)


def test_each_map_is_what_its_method_gives(net: cs.Network, image: Tensor) -> None:
    targets = ["bee", "class:0 - cat", "3:2@1,1"]
    methods = ("deconvnet", "saliency", "integrated-gradients")
    result = cs.explanation(net, image, targets, methods=methods, verdicts=False)
    assert result.methods == methods
    assert [len(row) for row in result.maps] == [3, 3, 3]
    for target, row in zip(targets, result.maps, strict=True):
        for method, each in zip(methods, row, strict=True):
            alone = METHODS[method](net, image, target)
            assert torch.equal(each.values, alone.values)
            assert (each.target, each.recipe) == (target, alone.recipe)
    assert result.verdicts == ((None,) * 3,) * 3


def test_occlusion_and_class_activation_take_their_options(net: cs.Network, image: Tensor) -> None:
    options: dict[str, Any] = {"window": 5, "stride": 3, "fill": 0.2}
    methods = ["occlusion", "grad-cam"]
    result = cs.explanation(net, image, ["bee", "cat"], methods=methods, layer="1", verdicts=False, **options)
    for target, (covered, camera) in zip(["bee", "cat"], result.maps, strict=True):
        torch.testing.assert_close(covered.values, cs.occlusion(net, image, target, **options).values)
        assert torch.equal(camera.values, cs.grad_cam(net, image, target, layer="1").values)


def test_the_usual_methods_with_their_verdicts(net: cs.Network, image: Tensor) -> None:
    result = cs.explanation(net, image, ["bee"], seed=3)
    assert result.methods == USUAL
    for each, judged in zip(result.maps[0], result.verdicts[0], strict=True):
        assert judged == verdict(net, each, seed=3)
    bare = cs.explanation(net, image, ["bee"], verdicts=False)
    assert result.picture().height > bare.picture().height


def test_a_method_twice_is_shown_once(net: cs.Network, image: Tensor) -> None:
    result = cs.explanation(net, image, ["bee"], methods=["saliency", "saliency"], verdicts=False)
    assert result.methods == ("saliency",)


def test_recipe(lite0: cs.Network) -> None:
    image = lite0.prepare(cs.read_image("chelsea"))
    recipe = cs.explanation(lite0, image, ["tabby", 285], methods=["saliency"], verdicts=False).recipe
    assert (recipe.method, recipe.seed) == ("explanation", 0)
    assert recipe.parameters == {
        "targets": ["tabby", "class:285"], "methods": ["saliency"], "verdicts": False, "smooth": None, "layer": None,
        "window": 32, "stride": 16, "fill": "gray",
    }  # fmt: skip
    assert [each.name for each in recipe.inputs] == ["chelsea"]


@pytest.mark.parametrize("style", [None, *get_args(Style)])
def test_picture_grows_with_targets_and_methods(net: cs.Network, image: Tensor, style: Style | None) -> None:
    def size(targets: list[str], methods: tuple[str, ...]) -> tuple[int, int]:
        picture = cs.explanation(net, image, targets, methods=methods, verdicts=False).picture(style=style)
        assert np.asarray(picture).std() > 0
        return picture.size

    one = size(["bee"], ("saliency",))
    assert size(["bee"], USUAL)[0] > one[0]
    assert size(["bee", "cat"], ("saliency",))[1] > one[1]


def test_progress_tells_of_all_and_stops_it(net: cs.Network, image: Tensor) -> None:
    seen: list[Progress] = []
    cs.explanation(net, image, ["bee", "cat"], progress=seen.append)
    done = [each.done for each in seen]
    assert done == sorted(done)
    assert len({each.total for each in seen}) == 1
    assert done[-1] == seen[-1].total
    with pytest.raises(Cancelled):
        cs.explanation(net, image, ["bee"], progress=lambda progress: progress.done < 5)


@pytest.mark.parametrize("reduction", get_args(Reduction))
def test_reductions_are_drawn(net: cs.Network, image: Tensor, reduction: Reduction) -> None:
    assert isinstance(cs.explanation(net, image, ["bee"], verdicts=False).picture(reduction=reduction), Image.Image)


def test_saved_with_its_options(net: cs.Network, image: Tensor, tmp_path: Path) -> None:
    cs.explanation(net, image, ["bee"], verdicts=False).save(tmp_path / "figure.png", style="overlay")
    assert read_recipe(tmp_path / "figure.png").picture == {"style": "overlay"}


def test_errors_are_those_of_the_methods(net: cs.Network, image: Tensor) -> None:
    with pytest.raises(TargetError, match="nearest: bee"):
        cs.explanation(net, image, ["ant", "beee"])
    with pytest.raises(ConvscopeError, match="no method 'guide'; nearest: guided"):
        cs.explanation(net, image, ["ant"], methods=["guide"])
    with pytest.raises(LayerError):
        cs.explanation(net, image, ["ant"], methods=["grad-cam"], layer="99")


def test_usual_methods_that_a_network_does_not_allow_are_left_out() -> None:
    smooth = cs.Network(nn.Sequential(nn.Conv2d(3, 2, 3), nn.SiLU(), nn.Flatten(), nn.Linear(392, 2)), input_size=16)
    image = torch.rand(3, 16, 16)
    result = cs.explanation(smooth, image, [0], verdicts=False)
    assert result.methods == ("saliency", "grad-cam", "occlusion")
    (line,) = result.left_out
    assert line.startswith("guided is left out: ")
    with pytest.raises(RuleError, match="smooth='positive'"):
        cs.explanation(smooth, image, [0], methods=["guided"])
    assert cs.explanation(smooth, image, [0], smooth="positive", verdicts=False).methods == USUAL
