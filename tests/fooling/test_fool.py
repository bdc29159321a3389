"""Fooled networks: sure of what is not there, in the file as in memory."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.planted import CORNER, planted, without_mark
from tests.synthesis.networks import small
from torch import Tensor, nn

import convscope as cs
from convscope.errors import Cancelled, ConvscopeError, ImageError, NetworkError, TargetError
from convscope.fooling.classes import log_probabilities, random_classes
from convscope.fooling.fool import Fooled, fool
from convscope.network.heads import Head, probabilities
from convscope.synthesis.parts import PartError


def made(target: Any = "class:1", **options: Any) -> Fooled:
    truth = planted()
    return fool(truth.network, target, **{"probability": 0.9, "steps": 60, **options})


def test_what_is_told_is_true_of_the_file(tmp_path: Path) -> None:
    net = planted().network
    result = made(["class:1", "class:5"], count=2)
    assert result.fooled.all()
    assert result.targets == ["class 1", "class 1", "class 5", "class 5"]
    for index, wanted in enumerate([1, 1, 5, 5]):
        result.save(tmp_path / "one.png", which=index)
        image = cs.read_image(tmp_path / "one.png", channels=1)
        assert torch.equal(image, result.images[index])
        (first,) = net.predict(image, top=1)
        assert first.index == wanted
        assert first.probability >= 0.9
        assert first.probability == pytest.approx(float(result.probabilities[index]), abs=1e-5)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 1000), rate=st.floats(0.001, 2), start=st.sampled_from(["noise", "zero", "random image"]))
def test_it_stays_in_the_box_in_steps_of_a_file(seed: int, rate: float, start: str) -> None:
    image = torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(seed))
    begin = image if start == "random image" else start
    images = made(start=begin, optimizer=f"ascent:{rate}", steps=4, seed=seed).images
    assert float(images.min()) >= 0
    assert float(images.max()) <= 1
    torch.testing.assert_close(images * 255, (images * 255).round(), atol=1e-4, rtol=0)


def test_what_is_there_already_takes_no_steps() -> None:
    truth = planted()
    sure = next(each for each in truth.images if truth.network.predict(each, top=1)[0].probability > 0.99)
    result = made(truth.target, start=sure)
    assert result.steps.tolist() == [0]
    assert float(result.largest_changes) <= 0.5 / 255
    assert result.before[0].index == truth.marked


def test_it_ends_as_soon_as_it_is_there() -> None:
    result = made("class:1")
    steps = int(result.steps)
    assert 0 < steps < 60
    assert not result.values[: steps + 1].isnan().any()
    assert result.values[steps + 1 :].isnan().all()
    # One step fewer is not enough, and no other picture comes of more that may be taken.
    assert float(made("class:1", steps=steps - 1).probabilities) < 0.91
    assert torch.equal(made("class:1", steps=steps).images, result.images)
    assert torch.equal(made("class:1", steps=200).images, result.images)


def test_each_is_as_if_it_were_alone() -> None:
    several = made(["class:1", "class:5", "class:7"], seed=3)
    for index, target in enumerate(["class:1", "class:5", "class:7"]):
        alone = made(target, seed=3 + index)
        assert int(alone.steps) == int(several.steps[index])
        torch.testing.assert_close(alone.images[0], several.images[index], atol=1.5 / 255, rtol=0)
    torch.testing.assert_close(
        made(["class:1", "class:5", "class:7"], seed=3, batch=2).images, several.images, atol=1.5 / 255, rtol=0
    )


def test_the_planted_mark_is_what_it_takes() -> None:
    truth = planted()
    starts = without_mark(truth.images[:4])
    changes = (made(truth.target, start=starts, optimizer="ascent:0.02").images - starts)[:, 0]
    corner = changes[:, CORNER[0], CORNER[1]].abs().mean()
    assert float(corner) > 1.5 * float(changes.abs().mean())


def test_random_classes_are_never_its_own() -> None:
    truth = planted()
    starts = truth.images[:6]
    result = made("random", start=starts, seed=2)
    assert len(result.images) == 6
    assert all(was.label != now for was, now in zip(result.before, result.targets, strict=True))
    assert result.targets == made("random", start=starts, seed=2).targets
    assert result.targets != made("random", start=starts, seed=9).targets
    draws = [torch.Generator().manual_seed(each) for each in range(60)]
    assert set(random_classes([1] * 60, 4, draws)) == {0, 2, 3}


def test_starts_and_seeds() -> None:
    noise, again, other = (made(seed=seed, steps=2) for seed in (0, 0, 1))
    assert torch.equal(noise.images, again.images)
    assert not torch.equal(noise.images, other.images)
    grey = made(start="zero", steps=2)
    assert torch.equal(grey.images, made(start="mean", steps=2).images)
    assert int(torch.unique(grey.starts).numel()) == 1
    assert int(torch.unique(noise.starts).numel()) > 10


def test_decay_draws_towards_grey() -> None:
    free, drawn = (made(regularizers=text, steps=5, probability=0.999999).images for text in ("decay:0", "decay:0.5"))
    assert float((drawn - 0.5).norm()) < float((free - 0.5).norm())


def heads() -> dict[Head, Tensor]:
    logits = torch.tensor([[3.0, -1.0, 0.5], [0.0, 0.0, -2.0]], dtype=torch.float64)
    return {"softmax": logits, "sigmoid": logits, "single-logit": torch.cat([-logits[:, :1], logits[:, :1]], dim=1)}


def test_log_probabilities_are_those_of_the_heads() -> None:
    for head, logits in heads().items():
        torch.testing.assert_close(log_probabilities(logits, head).exp(), probabilities(logits, head))
    assert log_probabilities(torch.tensor([[0.0, -200.0]]), "softmax")[0, 1] == -200


def test_a_network_of_sigmoids_is_fooled_too() -> None:
    net = cs.Network(planted().network.module, input_size=16, channels=1, head="sigmoid")
    result = fool(net, "class:3", steps=60, probability=0.9)
    assert result.fooled.all()
    assert net.predict(result.image, top=10)[0].probability >= 0.9


def test_it_is_drawn_beside_its_start() -> None:
    result = made("random", start=planted().images[:2])
    assert result.picture(beside=True).width > result.picture(which=0).width
    assert result.picture(beside=True).height > result.picture(beside=True, which=0).height


def test_stopped_with_all_images_there_are() -> None:
    with pytest.raises(Cancelled) as stopped:
        made(["class:1", "class:2", "class:3"], batch=2, progress=lambda progress: progress.done < 2)
    assert stopped.value.so_far.shape == (3, 1, 16, 16)


def test_progress_comes_to_its_end() -> None:
    seen: list[cs.Progress] = []
    made(["class:1", "class:2", "class:3"], batch=2, progress=seen.append)
    assert seen[-1].done == seen[-1].total == 120


class Maps(nn.Module):
    """An output of maps."""

    def forward(self, x: Tensor) -> Tensor:
        return x


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"target": "clas:1"}, TargetError, "clas"),
        ({"target": "class:99"}, TargetError, "classes 0 to"),
        ({"target": "class:1 - class:2"}, TargetError, "single class"),
        ({"start": "nose"}, ImageError, "noise, zero"),
        ({"start": torch.rand(1, 20, 16)}, ImageError, "20 × 16.*16 × 16.*prepare"),
        ({"start": torch.rand(3, 16, 16)}, ImageError, "channels"),
        ({"start": torch.rand(2, 1, 16, 16), "target": ["class:1"] * 3}, ImageError, "got 2 images"),
        ({"probability": 1}, ImageError, "less than 1"),
        ({"probability": 0}, ImageError, "more than 0"),
        ({"count": 0}, ImageError, "count=0"),
        ({"batch": 0}, ImageError, "batch=0"),
        ({"steps": 0}, ImageError, "steps=0"),
        ({"optimizer": "sgd"}, PartError, "sgd"),
    ],
)
def test_bad_input(options: dict[str, Any], error: type[ConvscopeError], says: str) -> None:
    with pytest.raises(error, match=says):
        made(**{"target": "class:1", **options})


def test_networks_without_probabilities() -> None:
    for net in (cs.Network(Maps(), input_size=8), cs.Network(small().module, input_size=24, head="none")):
        with pytest.raises(TargetError, match="no probabilities"):
            fool(net, 0)
    one = cs.Network(nn.Sequential(nn.Flatten(), nn.Linear(48, 1)), input_size=4)
    with pytest.raises((TargetError, NetworkError), match="random"):
        fool(one, "random")


@pytest.mark.slow
def test_the_default_network_is_sure_of_noise(lite0: cs.Network, tmp_path: Path) -> None:
    """Some seconds: the network is a real one."""
    result = fool(lite0, "cheetah", start="noise")
    result.save(tmp_path / "cheetah.png")
    (first,) = lite0.predict(lite0.read(tmp_path / "cheetah.png"), top=1)
    assert first.label == "cheetah"
    assert first.probability >= 0.99
