"""Outputs of every kind: single logits, maps, dicts; and targets over a region."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import convscope as cs
from convscope.errors import NetworkError, TargetError


class OneLogit(nn.Module):
    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.fc, self.shape = nn.Linear(12, 1), shape

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.flatten(1)).reshape(len(x), *self.shape)  # type: ignore[no-any-return]


@pytest.mark.parametrize("shape", [(), (1,)])
def test_a_single_logit_is_two_classes(shape: tuple[int, ...]) -> None:
    module = OneLogit(shape)
    net = cs.Network(module, input_size=2, head="single-logit", labels=["sound", "cracked"])
    image = torch.rand(3, 2, 2)
    z = module.fc(image.flatten()).item()
    first, second = net.predict(image)
    assert first.probability + second.probability == pytest.approx(1)
    assert {each.label: each.probability for each in (first, second)}["cracked"] == pytest.approx(
        1 / (1 + 2.718281828**-z)
    )
    torch.testing.assert_close(net.gradient(image, "cracked").flatten(), module.fc.weight[0].detach())
    torch.testing.assert_close(net.gradient(image, "sound").flatten(), -module.fc.weight[0].detach())
    assert net.logits(torch.rand(5, 3, 2, 2)).shape == (5, 2)


def test_a_head_of_single_logit_for_several_outputs_is_an_error() -> None:
    net = cs.Network(nn.Sequential(nn.Flatten(), nn.Linear(12, 3)), input_size=2, head="single-logit")
    with pytest.raises(NetworkError, match="expected \\(N,\\) or \\(N, 1\\)"):
        net.logits(torch.rand(3, 2, 2))


@pytest.fixture
def dense() -> cs.Network:
    module = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))
    return cs.Network(module, input_size=8, labels=["ground", "road"])


def test_dense_outputs_are_explained_over_a_mask(
    dense: cs.Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    picture = Image.new("L", (8, 8))
    picture.paste(255, (4, 2, 7, 5))
    picture.save("mask.png")
    image = torch.rand(3, 8, 8)
    for target in ("class:1@mask.png", "road@mask.png"):
        expected = dense.gradient(image, lambda out: out[:, 1, 2:5, 4:7].mean((1, 2)))
        torch.testing.assert_close(dense.gradient(image, target), expected)
    assert (dense.gradient(image, "0:1@mask.png") != 0).any(0).nonzero().amin(0).tolist() == [1, 3]
    assert dense.logits(image).shape == (2, 8, 8)
    assert sum(each.probability for each in dense.predict(image)) == pytest.approx(1)


def test_masks_that_say_nothing(dense: cs.Network, tiny: nn.Module, tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "dark.png")
    Image.new("L", (16, 16), 255).save(tmp_path / "bright.png")
    with pytest.raises(TargetError, match="dark everywhere"):
        dense.gradient(torch.rand(3, 8, 8), f"road@{tmp_path / 'dark.png'}")
    with pytest.raises(TargetError, match="needs an output with space"):
        cs.Network(tiny, input_size=16).gradient(torch.rand(3, 16, 16), f"class:1@{tmp_path / 'bright.png'}")
    with pytest.raises(cs.ImageError):
        dense.gradient(torch.rand(3, 8, 8), "road@nowhere.png")


def test_a_mask_of_the_whole_picture_follows_its_crop(tmp_path: Path) -> None:
    net = cs.Network(nn.Conv2d(3, 2, 1), input_size=8, labels=["a", "b"], fit="crop", crop_fraction=1.0)
    picture = Image.new("L", (32, 16))
    picture.paste(255, (8, 0, 16, 16))  # the left half of the middle, which is what a crop of 16×16 keeps
    picture.save(tmp_path / "mask.png")
    gradient = net.gradient(torch.rand(3, 8, 8), f"b@{tmp_path / 'mask.png'}")
    assert (gradient[0] != 0).any(0).tolist() == [True] * 4 + [False] * 4
