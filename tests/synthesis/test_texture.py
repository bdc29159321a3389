"""Textures by Gram matrices: the matrices are what they are defined as, and what is made has them."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.synthesis.networks import small
from torch import Tensor, nn

import convscope as cs
from convscope.errors import Cancelled, ConvscopeError, LayerError, StepFailed
from convscope.image.write import read_recipe
from convscope.synthesis.objectives import gram, gram_match, measured
from convscope.synthesis.texture import PRESETS, Texture, texture, texture_layers

LAYERS = ["0", "3"]
seeds = st.integers(0, 9999)
sides = st.integers(1, 6)


def features(channels: int, rows: int, columns: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, channels, rows, columns, generator=generator, dtype=torch.float64)


def gram_slowly(activations: Tensor) -> Tensor:
    """The outer product of the channels with themselves, at one place after another, averaged."""
    count, channels, rows, columns = activations.shape
    total = torch.zeros(count, channels, channels, dtype=activations.dtype)
    for index in range(count):
        for row in range(rows):
            for column in range(columns):
                here = activations[index, :, row, column]
                total[index] += torch.outer(here, here) / (rows * columns)
    return total


@given(st.integers(1, 5), sides, sides, seeds)
@settings(max_examples=40, deadline=None)
def test_gram_sums_outer_products(channels: int, rows: int, columns: int, seed: int) -> None:
    activations = features(channels, rows, columns, seed)
    torch.testing.assert_close(gram(activations), gram_slowly(activations))


@given(st.integers(1, 5), sides, sides, seeds)
@settings(max_examples=40, deadline=None)
def test_gram_forgets_places(channels: int, rows: int, columns: int, seed: int) -> None:
    activations = features(channels, rows, columns, seed)
    order = torch.randperm(rows * columns, generator=torch.Generator().manual_seed(seed))
    moved = activations.flatten(2)[:, :, order].reshape(activations.shape)
    torch.testing.assert_close(gram(moved), gram(activations))


@given(st.integers(1, 5), sides, sides, seeds)
@settings(max_examples=40, deadline=None)
def test_gram_is_covariance_and_the_outer_product_of_means(channels: int, rows: int, columns: int, seed: int) -> None:
    activations = features(channels, rows, columns, seed)
    means = activations.mean(dim=(2, 3))
    centred = activations - means[:, :, None, None]
    covariance = torch.stack([torch.cov(each.flatten(1), correction=0).reshape(channels, channels) for each in centred])
    expected = covariance + means[:, :, None] * means[:, None, :]
    torch.testing.assert_close(gram(activations), expected)


def test_gram_does_not_depend_on_size() -> None:
    activations = features(3, 4, 5, 0)
    torch.testing.assert_close(gram(activations.tile(1, 1, 3, 2)), gram(activations))


def test_gradients() -> None:
    activations = features(3, 3, 2, 1).requires_grad_()
    assert torch.autograd.gradcheck(gram, activations)
    assert torch.autograd.gradgradcheck(gram, activations)


def test_the_objective_is_its_definition() -> None:
    net, example, image = small(), torch.rand(3, 20, 24), torch.rand(3, 16, 12)
    codes = [net.capture(each, LAYERS) for each in (example, image)]
    wanted, found = ({name: gram_slowly(code[name][None])[0] for name in LAYERS} for code in codes)
    expected = -sum(float((found[n] - wanted[n]).square().sum() / wanted[n].square().sum()) for n in LAYERS)
    assert float(measured(net, gram_match(wanted), image[None])) == pytest.approx(expected, rel=1e-4)


def made(example: Tensor | None = None, **options: Any) -> Texture:
    example = striped() if example is None else example
    return texture(small(), example, **{"layers": LAYERS, "steps": 5, **options})


def striped() -> Tensor:
    """Red and blue columns, two pixels each."""
    columns = 0.2 + 0.6 * (torch.arange(20) // 2 % 2).float().expand(16, 20)
    return torch.stack([columns, torch.full((16, 20), 0.3), 1 - columns])


@pytest.mark.parametrize(("preset", "most"), [("exact", 0.2), ("gatys", 0.1), ("adam", 0.4)])
def test_it_comes_to_have_the_matrices_and_not_the_places(preset: str, most: float) -> None:
    assert preset in PRESETS
    result = made(preset=preset, steps=80, size=(22, 18))
    assert result.image.shape == (3, 22, 18)
    assert float(result.losses.max()) < most
    assert float(result.values[-1]) > float(result.values[0])
    assert torch.equal(result.images, made(preset=preset, steps=80, size=(22, 18)).images)


def test_what_is_told_is_true_of_the_file(tmp_path: Path) -> None:
    result = made(count=2, steps=8)
    example = {name: gram_slowly(each[None])[0] for name, each in small().capture(striped(), LAYERS).items()}
    for index in range(2):
        result.save(tmp_path / "one.png", which=index)
        again = cs.read_image(tmp_path / "one.png")
        assert torch.equal(again, result.images[index])
        found = {name: gram_slowly(each[None])[0] for name, each in small().capture(again, LAYERS).items()}
        errors = [float((found[name] - example[name]).norm() / example[name].norm()) for name in LAYERS]
        assert result.losses[index].tolist() == pytest.approx(errors, rel=1e-3)
    assert read_recipe(tmp_path / "one.png").method == "texture"
    assert not torch.equal(result.images[0], result.images[1])
    assert result.caption.startswith("2 layers")


def test_the_recipe_makes_it_again() -> None:
    start = torch.rand(3, 16, 20)
    result = made(start=start, seed=3, batch=2, preset="adam", size=18)
    told = {**result.recipe.parameters, "start": start, "seed": result.recipe.seed, "batch": result.recipe.batch}
    told["size"] = tuple(told["size"])  # type: ignore[arg-type]
    assert torch.equal(texture(small(), striped(), **told).images, result.images)  # type: ignore[arg-type]
    assert result.recipe.parameters["start"] == "image"
    assert len(result.recipe.inputs) == 2


@pytest.mark.parametrize(
    "option",
    [
        {"layers": ["0"]}, {"depth": 1}, {"preset": "adam"}, {"start": "zero"}, {"parameterization": "fourier"},
        {"transforms": "jitter:4"}, {"regularizers": "tv:50"}, {"optimizer": "adam:0.1"}, {"seed": 1},
        {"schedule": "linear"}, {"steps": 6}, {"views": 2, "transforms": "jitter:4"}, {"example": striped().flip(0)},
    ],
)  # fmt: skip
def test_every_option_counts(option: dict[str, Any]) -> None:
    plain = {"transforms": option["transforms"]} if "views" in option else {}
    assert not torch.equal(made(**option).images, made(**plain).images)


def test_sizes() -> None:
    assert made(steps=1).image.shape == (3, 16, 20)
    assert made(steps=1, size=12).image.shape == (3, 12, 12)
    assert made(steps=1, size=(9, 40)).image.shape == (3, 9, 40)
    assert made(steps=1, start=torch.rand(3, 11, 13)).image.shape == (3, 11, 13)
    assert made(steps=1, example=torch.rand(3, 1, 1), size=5).image.shape == (3, 5, 5)
    assert made(steps=1, size=1).image.shape == (3, 1, 1)


def test_the_usual_layers(lite0: cs.Network) -> None:
    assert texture_layers(lite0) == ["blocks.0", "blocks.2", "blocks.4", "blocks.10", "head.norm"]
    assert texture_layers(lite0, depth=2) == ["blocks.0", "blocks.2"]
    assert texture_layers(small(), "0") == ["0"]
    vgg = cs.Network(_vgg(), input_size=32, head="none")
    assert texture_layers(vgg) == ["relu1_1", "pool1", "pool2", "pool3", "pool4"]
    assert texture_layers(vgg, depth=3) == ["relu1_1", "pool1", "pool2"]


def _vgg() -> nn.Module:
    from convscope.network.zoo.vgg16_hed import VGG16Features

    return VGG16Features()


def test_stopped_with_what_there_is() -> None:
    with pytest.raises(Cancelled) as stopped:
        made(progress=lambda progress: progress.done < 3)
    assert stopped.value.so_far.shape == (1, 3, 16, 20)
    with pytest.raises(StepFailed, match="no number"):
        made(regularizers=[lambda images: images.sum(dim=(1, 2, 3)) * math.nan])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"layers": ["nought"]}, "no layer 'nought'"),
        ({"layers": ["6"]}, "has no places"),
        ({"layers": []}, "no layers to take Gram matrices of"),
        ({"depth": 3}, "got depth=3, expected 1 to 2"),
        ({"preset": "gaty"}, "nearest: gatys"),
        ({"size": 0}, "got a size of 0 × 0"),
        ({"size": 400000}, "are free"),
        ({"batch": 0}, "batch=0"),
        ({"start": "nowhere"}, "no start 'nowhere'"),
        ({"example": torch.rand(2, 3, 16, 16)}, "expected one example"),
        ({"example": torch.full((3, 16, 16), math.inf)}, "NaN or infinity"),
    ],
)
def test_errors_say_what_to_do(change: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConvscopeError, match=expected):
        made(**{"steps": 2, **change})


def test_a_network_of_vectors_has_no_layers_to_take() -> None:
    net = cs.Network(nn.Sequential(nn.Flatten(), nn.Linear(48, 4), nn.ReLU()), input_size=4)
    with pytest.raises(LayerError, match="no layers to take"):
        texture(net, torch.rand(3, 4, 4))
