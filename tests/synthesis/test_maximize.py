"""Preferred images: what was planted is to be seen, and every option counts."""

from typing import Any

import pytest
import torch
from tests.planted import CORNER, MARK, planted
from tests.synthesis.networks import small
from torch import Tensor

import convscope as cs
from convscope.errors import Cancelled, ConvscopeError, ImageError, LayerError, NetworkError, StepFailed, TargetError
from convscope.image.write import read_recipe
from convscope.synthesis.objectives import Objective, energy, gram
from convscope.synthesis.parts import PartError

PRESETS = ("lucid", "simonyan", "yosinski", "maco")


def made(target: Any = "class:1", **options: Any) -> cs.Maximized:
    return cs.maximize(small(), target, **{"steps": 5, **options})


@pytest.mark.parametrize("preset", ["lucid", "simonyan", "yosinski"])
def test_the_planted_mark_appears_where_it_was_planted(preset: str) -> None:
    truth = planted()
    result = cs.maximize(truth.network, truth.target, preset=preset, steps=80, start="zero", transforms="none")
    image = result.image[0]
    away = torch.ones_like(image, dtype=torch.bool)
    away[CORNER] = False
    assert float(image[MARK].mean()) > float(image[away].mean()) + 0.2
    assert float(result.probabilities[0]) > 0.99


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_climbs(preset: str) -> None:
    result = made(preset=preset, steps=60)
    assert float(result.values[-10:].mean()) > float(result.values[:10].mean())
    assert torch.equal(result.images, made(preset=preset, steps=60).images)


def test_what_is_told_is_true_of_the_file(tmp_path: Any) -> None:
    net = small()
    result = made(["class:1", "0:3"], count=2, size=(20, 28))
    for index, target in enumerate(result.targets):
        result.save(tmp_path / "one.png", which=index)
        image = cs.read_image(tmp_path / "one.png")
        assert torch.equal(image, result.images[index])
        assert float(net.score(image, target)) == pytest.approx(float(result.scores[index]), rel=1e-4)
    assert result.probabilities.isnan().tolist() == [False, False, True, True]
    assert result.targets == ["class:1", "class:1", "0:3", "0:3"]
    assert read_recipe(tmp_path / "one.png").method == "maximize"


def test_targets_of_all_kinds() -> None:
    for target in ("class:1", 1, "3:2", "3:2@4,4", "3", "class:1 - class:2", energy("3"), lambda output: output[:, 0]):
        assert made(target).images.shape == (1, 3, 24, 24)


def test_images_do_not_depend_on_what_is_made_beside_them() -> None:
    both = made(["class:1", "class:2"], seed=3)
    torch.testing.assert_close(both.images[1:], made("class:2", seed=4).images, atol=1.5 / 255, rtol=0)
    torch.testing.assert_close(
        both.images, made(["class:1", "class:2"], seed=3, batch=1).images, atol=1.5 / 255, rtol=0
    )


def test_starts() -> None:
    dark = torch.full((3, 24, 24), 0.1)
    ends = {start: made(start=start, steps=1) for start in ("noise", "zero")}
    from_dark = made(start=dark, steps=1)
    assert float(ends["zero"].image.std()) < float(ends["noise"].image.std()) + 0.05
    assert float(from_dark.image.mean()) < 0.2
    assert made(start=torch.rand(3, 10, 14)).images.shape == (1, 3, 10, 14)
    two = made(["class:1", "class:1"], start=torch.stack([dark, 1 - dark]), steps=1).images
    assert float(two[0].mean()) < 0.2
    assert float(two[1].mean()) > 0.8


def test_diversity_makes_a_difference() -> None:
    def likeness(images: Tensor) -> float:
        layer = small().capture(images, ["3"])["3"]
        flat = torch.nn.functional.normalize(gram(layer).flatten(1), dim=1)
        return float((flat @ flat.T)[0, 1])

    plain, diverse = (made("class:1", count=2, steps=60, diverse=much).images for much in (0, 100))
    assert likeness(diverse) < likeness(plain) - 0.01


def test_size_and_batches_of_progress() -> None:
    seen: list[cs.Progress] = []
    result = made("class:1", count=3, batch=2, size=12, progress=seen.append)
    assert result.images.shape == (3, 3, 12, 12)
    assert [each.done for each in seen] == list(range(1, 11))
    assert seen[-1].total == 10


def test_one_pixel() -> None:
    assert made(size=1).images.shape == (1, 3, 1, 1)


def test_stopped() -> None:
    with pytest.raises(Cancelled) as stopped:
        made(progress=lambda progress: progress.done < 2)
    assert stopped.value.so_far.shape == (1, 3, 24, 24)


def test_no_numbers() -> None:
    broken = Objective("broken", lambda seen: seen.images.sum(dim=(1, 2, 3)).log() * float("nan"))
    with pytest.raises(StepFailed, match="step 1 of 5"):
        made(broken)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"target": "clas:1"}, TargetError, "known: 0, 1"),
        ({"target": "33:2"}, TargetError, "no layer '33'"),
        ({"target": energy("nowhere")}, LayerError, "nearest|known"),
        ({"preset": "deep"}, ImageError, "no preset 'deep'"),
        ({"start": "white"}, ImageError, "no start 'white'; expected noise, zero, or an image"),
        ({"start": torch.zeros(1, 8, 8)}, ImageError, "expected 3"),
        ({"start": torch.zeros(2, 3, 8, 8)}, ImageError, "expected one, or one for each"),
        ({"size": 0}, ImageError, "at least 1 × 1"),
        ({"count": 0}, ImageError, "at least 1"),
        ({"regularizers": "blurr"}, PartError, "nearest: blur"),
        ({"optimizer": "sgd"}, PartError, "known: adam"),
    ],
)
def test_bad_input(options: dict[str, Any], error: type[ConvscopeError], says: str) -> None:
    with pytest.raises(error, match=says):
        made(**{"target": "class:1", **options})


def test_too_large() -> None:
    with pytest.raises(NetworkError, match=r"need about .* GiB"):
        made(size=60_000)


def test_which_picture() -> None:
    result = made(count=2)
    assert result.picture(which=1).size == (24, 24)
    assert result.picture().size > (48, 24)
    with pytest.raises(ImageError, match="expected 0 to 1"):
        result.picture(which=2)


@pytest.mark.slow
def test_a_photographic_network_sees_what_it_was_asked_for(lite0: cs.Network) -> None:
    """Flamingos and daisies, in few steps: nearly certain of them, and another network's code agrees."""
    result = cs.maximize(lite0, ["class:130", "class:985"], steps=60)
    assert (result.probabilities > 0.9).all()
    smaller = torch.nn.functional.avg_pool2d(result.images, 3, stride=1, padding=1)
    best = [lite0.predict(image, top=1)[0].index for image in smaller]
    assert best == [130, 985]
