"""The classes answered to many images together are those answered to each by itself."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fooling.attacked import SIDE, curved, pictures
from torch import Tensor, nn

import convscope as cs
from convscope.fooling.answering import Answering
from convscope.network.answers import Answers

SHAPE = (3, SIDE, SIDE)


def near_the_border(network: cs.Network, count: int, seed: int) -> Tensor:
    """Images of which half lie, where they can, where two classes are alike, as near as numbers allow."""
    images = pictures(2 * count, seed).to(network.dtype)
    own = network.logits(images).argmax(dim=1)
    low, high = images[:count].clone(), images[count:].clone()
    for _ in range(60):
        middle = (low + high) / 2
        same = (network.logits(middle).argmax(dim=1) == own[:count])[:, None, None, None]
        low, high = torch.where(same, middle, low), torch.where(same, high, middle)
    return torch.cat([low, images[count:]])


class OffInTheLastDigits:
    """What a network answers, off by a part of the largest score."""

    def __init__(self, run: Any, part: float, seed: int) -> None:
        self.run, self.part, self.draw = run, part, torch.Generator().manual_seed(seed)

    def __call__(self, batch: Tensor) -> Answers:
        seen: Answers = self.run(batch)
        noise = 2 * torch.rand(seen.logits.shape, generator=self.draw).to(seen.logits) - 1
        off = seen.logits + self.part * noise * seen.logits.abs().amax(dim=1, keepdim=True)
        return Answers(off, {}, seen.reader, seen.count)


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 999), part=st.sampled_from([0.0, 1e-6, 1e-4, 3e-3]), head=st.sampled_from(["softmax", "none"])
)
def test_they_are_those_of_each_alone_whatever_the_last_digits(seed: int, part: float, head: Any) -> None:
    network = cs.Network(curved(seed).module, input_size=SIDE, head=head)
    images = near_the_border(network, 6, seed)
    answering = Answering(network, SHAPE, len(images))
    answering._run = OffInTheLastDigits(answering._run, part, seed)  # type: ignore[assignment]
    assert answering.classes(images).tolist() == [network.predict(each, top=1)[0].index for each in images]
    assert not answering.queries.any()


def test_only_those_near_a_border_are_asked_about_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    images = near_the_border(curved(), 4, 3)
    near = torch.zeros(len(images), dtype=torch.bool)
    for values in (curved().logits(images), curved().logits(images).softmax(dim=1)):
        best = values.sort(dim=1, descending=True).values
        near |= best[:, 0] - best[:, 1] <= 0.01 * values.abs().amax(dim=1)
    answering, alone, own = Answering(curved(), SHAPE, len(images)), [], curved().predict

    def predict(image: Tensor, top: int = 5) -> Any:
        alone.append(image)
        return own(image, top)

    monkeypatch.setattr(curved(), "predict", predict)
    answering.classes(images)
    assert 2 <= int(near.sum()) < len(images)
    assert torch.equal(torch.stack(alone), images[near])


class Maps(nn.Module):
    """Class 0 by the mean of its map, class 1 by the mean of probabilities: a few sure places, many that are not."""

    def forward(self, x: Tensor) -> Tensor:
        sure = torch.zeros_like(x[:, 0])
        sure[:, 0] = 40
        return torch.stack([sure, torch.full_like(sure, 0.5) + 0 * x[:, 0]], dim=1)


def test_over_maps_probabilities_count() -> None:
    network = cs.Network(Maps(), input_size=SIDE, labels=["few", "many"])
    image = pictures(1).float()
    assert network.logits(image).mean(dim=(2, 3)).argmax() == 0
    assert network.predict(image[0], top=1)[0].index == 1
    assert Answering(network, SHAPE, 1).classes(image).tolist() == [1]


def test_where_probabilities_are_all_1() -> None:
    layer = nn.Linear(3 * SIDE**2, 3)
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.copy_(torch.tensor([60.0, 90.0, 120.0]))
    network = cs.Network(nn.Sequential(nn.Flatten(), layer), input_size=SIDE, head="sigmoid")
    images = pictures(2).float()
    alone = [network.predict(each, top=1)[0].index for each in images]
    assert Answering(network, SHAPE, 2).classes(images).tolist() == alone
