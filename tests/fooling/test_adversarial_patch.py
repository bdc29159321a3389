"""The patch: where it lies, that its gradient is right, and that it works at new places."""

import math
from typing import Any

import pytest
import torch
from tests.fooling.attacked import SIDE, curved, pictures
from torch import nn

import convscope as cs
from convscope.errors import ConvscopeError
from convscope.fooling.adversarial_patch import Placing
from convscope.synthesis.start import draws


def test_it_covers_its_share_and_nothing_else() -> None:
    black = torch.zeros(6, 3, 40, 60)
    for share in (0.25, 0.5, 1.0):
        seen = Placing(share, share, 180).on(black, torch.ones(1, 3, 64, 64), draws(0, 6))
        area = math.pi / 4 * (share * 40) ** 2
        torch.testing.assert_close(seen[:, 0].sum(dim=(1, 2)), torch.full((6,), area), rtol=0.04, atol=0)
        # Round, whatever the image's aspect: as wide as high.
        for each in seen[:, 0] > 0.5:
            assert abs(int(each.any(dim=0).sum()) - int(each.any(dim=1).sum())) <= 1


def test_it_turns() -> None:
    half = torch.zeros(1, 1, 64, 64)
    half[..., :32] = 1
    seen = Placing(1.0, 1.0, 180).on(torch.zeros(12, 1, 64, 64), half, draws(3, 12))[:, 0]
    left = seen[:, :, :32].sum(dim=(1, 2)) / seen.sum(dim=(1, 2))
    assert float(left.max() - left.min()) > 0.5
    straight = Placing(1.0, 1.0, 0).on(torch.zeros(1, 1, 64, 64), half, draws(3, 1))[0, 0]
    assert float(straight[:, 33:].sum()) == 0


def test_gradients_flow_to_it() -> None:
    patch = torch.rand(1, 2, 5, 5, dtype=torch.float64, requires_grad=True)
    images = torch.rand(2, 2, 8, 9, dtype=torch.float64)
    placing = Placing(0.5, 0.9, 45)
    assert torch.autograd.gradcheck(lambda p: placing.on(images, p, draws(1, 2)), patch)


class Red(nn.Module):
    """Class 1 for a little red anywhere, else class 0."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        red = 40 * (x[:, 0] - x[:, 1:].amax(dim=1)).mean(dim=(1, 2))
        return torch.stack([torch.ones_like(red), red], dim=1)


def test_it_finds_what_a_class_is_known_by() -> None:
    grey = torch.full((4, 3, 24, 24), 0.5)
    result = cs.adversarial_patch(cs.Network(Red(), input_size=24), grey, 1, steps=30, rate=1.0, tries=3, batch=4)
    assert result.rate == 1
    assert result.images.shape == (12, 3, 24, 24)
    assert result.target == "class:1"
    middle = result.patch[:, 4:8, 4:8].mean(dim=(1, 2))
    assert float(middle[0]) > 0.85
    assert float(middle[1:].max()) < 0.3
    assert (result.queries, result.gradients) == (120, 120)
    levels = result.images * 255
    torch.testing.assert_close(levels, levels.round(), atol=1e-4, rtol=0)
    assert result.picture().size == (12, 12)
    assert result.picture(figure=True).width > 3 * 24


BAD: list[tuple[dict[str, Any], str]] = [
    ({"size": (0.0, 0.5)}, "0 < least"),
    ({"size": (0.6, 0.5)}, "0 < least"),
    ({"degrees": 200.0}, "0 to 180"),
    ({"pixels": 0}, "pixels=0"),
    ({"tries": 0}, "tries=0"),
    ({"rate": -1.0}, "rate=-1"),
    ({"target": "hippogriff"}, "hippogriff"),
]


@pytest.mark.parametrize(("options", "says"), BAD)
def test_bad_options(options: dict[str, Any], says: str) -> None:
    target = options.pop("target", 1)
    with pytest.raises(ConvscopeError, match=says):
        cs.adversarial_patch(curved(), pictures(2), target, **options)
    assert pictures(2).shape[-1] == SIDE
