"""Inversion: what a layer keeps comes back, what it drops doesn't, and what is told is true of the file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.synthesis.networks import small
from torch import Tensor, nn

import convscope as cs
from convscope.errors import Cancelled, ConvscopeError, ImageError, LayerError, StepFailed
from convscope.image.write import read_recipe
from convscope.network.zoo.fetching import is_fetched
from convscope.synthesis.invert import PRESETS, Inversion, correlation, deepest, invert
from convscope.synthesis.objectives import match, measured
from convscope.synthesis.regularizers.total_variation import total_variation


@pytest.fixture
def image() -> Tensor:
    return cs.read_image("chelsea", 24)[:, :16, :24].contiguous()


def made(image: Tensor, layer: str = "0", **options: Any) -> Inversion:
    return invert(small(), image, layer, **{"steps": 5, **options})


def test_a_layer_that_keeps_all_gives_all_back(image: Tensor) -> None:
    """A convolution with more channels than colours and no stride can be undone."""
    result = made(image, "0", preset="exact", regularizers="none", steps=100)
    assert float(result.code_errors) < 0.02
    assert float(result.correlations) > 0.98
    assert float(result.pixel_errors) < 0.03


def test_what_a_layer_drops_does_not_come_back(image: Tensor) -> None:
    """A network that sees only the mean of the colours: shape comes back, colour can't."""
    grey = nn.Conv2d(3, 1, 1, bias=False)
    nn.init.constant_(grey.weight, 1 / 3)
    net = cs.Network(nn.Sequential(grey, nn.ReLU()), input_size=(16, 24), head="none")
    result = invert(net, image, "1", preset="exact", regularizers="none", start="zero", steps=100)
    torch.testing.assert_close(result.image.mean(dim=0), image.mean(dim=0), atol=0.03, rtol=0)
    assert float((image - image.mean(dim=0)).abs().mean()) > 0.03
    assert float((result.image - result.image.mean(dim=0)).abs().mean()) < 0.02


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_comes_nearer_and_is_the_same_again(preset: str, image: Tensor) -> None:
    result = made(image, preset=preset, steps=60)
    assert float(result.values[-1]) > float(result.values[0])
    assert float(result.code_errors) < 0.6
    assert torch.equal(result.images, made(image, preset=preset, steps=60).images)


def test_the_objective_is_its_definition(image: Tensor) -> None:
    net = small()
    other = torch.rand(3, 16, 24)
    code, found = (net.capture(each, ["2"])["2"].double().numpy() for each in (image, other))
    expected = -sum((a - b) ** 2 for a, b in zip(found.flat, code.flat, strict=True)) / sum(b**2 for b in code.flat)
    value = measured(net, match({"2": torch.from_numpy(code).float()}), other[None])
    assert float(value) == pytest.approx(expected, rel=1e-4)


def test_the_gradient_of_the_objective() -> None:
    from convscope.synthesis.objectives import relative_error

    code = torch.rand(4, 3, 3, dtype=torch.float64)
    activations = torch.rand(2, 4, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda seen: relative_error(seen, code), activations)


def test_what_is_told_is_true_of_the_file(image: Tensor, tmp_path: Path) -> None:
    net = small()
    result = made(image, "2", count=2, steps=10)
    code = net.capture(image, ["2"])["2"]
    for index in range(2):
        result.save(tmp_path / "one.png", which=index)
        again = cs.read_image(tmp_path / "one.png")
        assert torch.equal(again, result.images[index])
        error = (net.capture(again, ["2"])["2"] - code).norm() / code.norm()
        assert float(result.code_errors[index]) == pytest.approx(float(error), rel=1e-4)
        assert float(result.pixel_errors[index]) == pytest.approx(float(((again - image) ** 2).mean() ** 0.5), rel=1e-4)
        pearson = np.corrcoef(again.flatten().numpy(), image.flatten().numpy())[0, 1]
        assert float(result.correlations[index]) == pytest.approx(pearson, abs=1e-4)
    recipe = read_recipe(tmp_path / "one.png")
    assert (recipe.method, recipe.parameters["layer"], recipe.seed) == ("invert", "2", 0)
    assert "code error" in result.caption


def test_the_recipe_makes_it_again(image: Tensor) -> None:
    start = torch.rand(3, 16, 24)
    result = made(image, "2", start=start, seed=3, preset="mahendran", batch=2)
    options = {**result.recipe.parameters, "start": start, "seed": result.recipe.seed, "batch": result.recipe.batch}
    assert torch.equal(invert(small(), image, **options).images, result.images)  # type: ignore[arg-type]
    assert result.recipe.parameters["start"] == "image"
    assert len(result.recipe.inputs) == 2


def test_several_starts_differ_and_do_not_depend_on_their_batch(image: Tensor) -> None:
    several = made(image, "4", count=3, steps=8)
    assert len({tuple(each.flatten().tolist()) for each in several.images}) == 3
    alone = made(image, "4", count=3, steps=8, batch=1)
    torch.testing.assert_close(several.images, alone.images, atol=2.5 / 255, rtol=0)
    second = made(image, "4", seed=1, steps=8)
    torch.testing.assert_close(several.images[1:2], second.images, atol=2.5 / 255, rtol=0)


def test_more_of_the_prior_is_smoother_and_further_from_the_code(image: Tensor) -> None:
    weights = [0, 3, 100]
    results = [made(image, "2", preset="exact", regularizers=f"tv:{weight}", steps=60) for weight in weights]
    variation = [float(total_variation(each.images)) for each in results]
    errors = [float(each.code_errors) for each in results]
    assert variation[0] > variation[1] > variation[2]
    assert errors[0] < errors[1] < errors[2]


@pytest.mark.parametrize(
    "option",
    [
        {"preset": "mahendran"}, {"start": "zero"}, {"start": torch.zeros(3, 16, 24)}, {"parameterization": "pixels"},
        {"transforms": "jitter:4"}, {"regularizers": "tv:50"}, {"optimizer": "adam:0.1"}, {"seed": 1},
        {"schedule": "linear"}, {"steps": 6}, {"views": 2, "transforms": "jitter:4"},
    ],
)  # fmt: skip
def test_every_option_counts(option: dict[str, Any], image: Tensor) -> None:
    plain = {"transforms": option["transforms"]} if "views" in option else {}
    assert not torch.equal(made(image, **option).images, made(image, **plain).images)


def test_the_default_layer_is_the_code_of_the_classifier(lite0: cs.Network) -> None:
    assert deepest(lite0) == "flatten"
    result = invert(lite0, lite0.read("chelsea"), steps=2)
    assert result.layer == "flatten"
    assert "jitter:pixels=16.0" in result.recipe.parameters["transforms"]  # type: ignore[operator]
    maps = cs.Network(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), input_size=16, head="none")
    assert deepest(maps) == "1"
    assert invert(maps, torch.rand(3, 16, 16), steps=2).layer == "1"


def test_an_even_image_has_no_correlation() -> None:
    assert correlation(torch.ones(1, 3, 4, 4), torch.rand(3, 4, 4)).isnan().all()


def test_stopped_with_what_there_is(image: Tensor) -> None:
    with pytest.raises(Cancelled) as stopped:
        made(image, progress=lambda progress: progress.done < 3)
    assert stopped.value.so_far.shape == (1, 3, 16, 24)
    with pytest.raises(StepFailed, match="no number") as failed:
        made(image, regularizers=[lambda images: images.sum(dim=(1, 2, 3)) * float("nan")])
    assert failed.value.so_far is None


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"layer": "nought"}, "no layer 'nought'"),
        ({"preset": "exactly"}, "no preset 'exactly'; nearest: exact"),
        ({"count": 0}, "got count=0"),
        ({"start": "nowhere"}, "no start 'nowhere'"),
        ({"image": torch.rand(2, 3, 16, 16)}, "expected one image"),
        ({"image": torch.full((3, 16, 16), float("nan"))}, "NaN or infinity"),
        ({"image": torch.rand(1, 16, 16)}, "channels"),
        ({"optimizer": "lbgfs"}, "nearest: lbfgs"),
    ],
)
def test_errors_say_what_to_do(change: dict[str, Any], expected: str, image: Tensor) -> None:
    with pytest.raises(ConvscopeError, match=expected):
        invert(small(), **{"image": image, "layer": "2", "steps": 2, **change})


def test_a_layer_that_is_silent_says_nothing(image: Tensor) -> None:
    dead = nn.Conv2d(3, 4, 1)
    nn.init.constant_(dead.weight, 0.0)
    nn.init.constant_(dead.bias, -1.0)  # type: ignore[arg-type]
    net = cs.Network(nn.Sequential(dead, nn.ReLU()), input_size=16, head="none")
    with pytest.raises(LayerError, match="answers 0 everywhere"):
        invert(net, image, "1")


def test_one_pixel() -> None:
    result = made(torch.rand(3, 1, 1), "0", preset="exact", steps=3)
    assert result.images.shape == (1, 3, 1, 1)


def test_a_start_of_another_number_than_asked(image: Tensor) -> None:
    with pytest.raises(ImageError, match="images to start from"):
        made(image, start=torch.rand(2, 3, 16, 24), count=3)


@pytest.mark.slow
@pytest.mark.parametrize(("layer", "error", "least"), [("relu1_2", 0.05, 0.95), ("relu3_3", 0.12, 0.4)])
def test_vgg_within_a_hundred_steps(layer: str, error: float, least: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONVSCOPE_CACHE")
    if not is_fetched("vgg16-hed"):
        pytest.skip("needs `convscope fetch vgg16-hed`")
    net = cs.load("vgg16-hed")
    result = invert(net, cs.read_image("chelsea", 112), layer, steps=100)
    assert float(result.code_errors) <= error
    assert float(result.correlations) >= least
