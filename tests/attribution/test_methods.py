"""Every method by its name: for any target, image or batch, and on the network with the planted mark."""

from typing import Any

import pytest
import torch
from tests.planted import Planted, corner_share, detector, planted
from torch import nn

import convscope as cs
from convscope.attribution.methods import METHODS, explain
from convscope.errors import ConvscopeError

NAMES = {
    "saliency", "guided", "deconvnet", "occlusion",
    "grad-cam", "guided-grad-cam", "integrated-gradients", "smooth-grad",
}  # fmt: skip
TARGETS: list[Any] = [2, "class:2 - class:0", "3:2@1,4", "3:2", "4", "class:1 - 3", lambda logits: logits[:, 1] ** 2]


@pytest.fixture
def net(tiny: nn.Module) -> cs.Network:
    return cs.Network(tiny, input_size=40)


def test_they_are_those_that_are_there() -> None:
    assert set(METHODS) == NAMES


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", METHODS)
def test_any_target_will_do_for_an_image_and_a_batch(name: str, target: Any, net: cs.Network) -> None:
    batch = torch.rand(2, 3, 40, 40)
    together = explain(name, net, batch, target)
    assert together.image is batch
    assert together.values.shape in (batch.shape, (2, 40, 40))
    assert together.values.isfinite().all()
    alone = explain(name, net, batch[1], target)
    torch.testing.assert_close(alone.values, together.values[1], rtol=1e-3, atol=1e-6)
    assert alone.target == together.target


@pytest.mark.parametrize("name", METHODS)
def test_it_tells_that_it_is_done_and_can_be_stopped(name: str, net: cs.Network) -> None:
    seen: list[cs.Progress] = []
    image = torch.rand(3, 40, 40)
    explain(name, net, image, 1, progress=seen.append)
    assert seen[-1].done == seen[-1].total
    with pytest.raises(cs.Cancelled):
        explain(name, net, image, 1, progress=lambda progress: False)


@pytest.mark.parametrize("name", METHODS)
def test_it_is_made_again(name: str, net: cs.Network) -> None:
    one, other = torch.rand(2, 3, 40, 40)
    torch.testing.assert_close(explain(name, net, one, 1).again(net, other).values, explain(name, net, other, 1).values)


@pytest.mark.parametrize("name", METHODS)
def test_smooth_reaches_those_whose_rule_needs_it(name: str) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU(), nn.Flatten(), nn.Linear(4 * 38 * 38, 2))
    swish, image = cs.Network(module, input_size=40), torch.rand(3, 40, 40)
    assert explain(name, swish, image, 1, smooth="positive").values.any()
    if name in ("guided", "deconvnet", "guided-grad-cam"):
        with pytest.raises(cs.RuleError):
            explain(name, swish, image, 1)


def test_an_unknown_name_lists_the_nearest(net: cs.Network) -> None:
    with pytest.raises(ConvscopeError, match="no method 'gradcam'; nearest: grad-cam"):
        explain("gradcam", net, torch.rand(3, 40, 40), 1)


# --- The mark is found: what speaks for the class is in its corner, as the signs of the values say ---


def share(known: Planted, result: cs.Attribution) -> float:
    return float(corner_share(result.reduced("signed")).median())


@pytest.mark.parametrize("seed", [0, 1])
def test_saliency_and_integrated_gradients_and_occlusion_find_the_mark(seed: int) -> None:
    known = planted(seed)
    given = known.network, known.images, known.target
    assert share(known, cs.saliency(*given)) >= 0.8
    assert share(known, cs.integrated_gradients(*given)) >= 0.8
    assert share(known, cs.occlusion(*given, window=4, stride=1, fill=0.0)) >= 0.8


@pytest.mark.parametrize("seed", [0, 1])
def test_grad_cam_and_integrated_gradients_and_occlusion_find_the_mark(seed: int) -> None:
    """In a network whose channels each answer to one thing, which is what a map of channels can tell."""
    known = detector(seed)
    given = known.network, known.images, known.target
    assert share(known, cs.grad_cam(*given)) >= 0.8
    assert share(known, cs.integrated_gradients(*given)) >= 0.8
    assert share(known, cs.occlusion(*given, window=4, stride=1, fill=0.0)) >= 0.8
