"""Saliency against autograd written out, against a cue that was planted, and what is made of its values."""

import copy
import hashlib
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.planted import CORNER, corner_share, digits, planted, shuffled, trained, without_mark
from torch import Tensor, nn

import convscope as cs
from convscope.attribution.attribution import Attribution, Reduction, Style
from convscope.errors import ConvscopeError
from convscope.image.bundled import photograph
from convscope.image.recipe import Recipe
from convscope.network.rules import RULES, Rule

# --- The gradient ---


def assert_same(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


def written_out(module: nn.Module, batch: Tensor, index: int) -> Tensor:
    """∂logit/∂image by autograd and nothing else, the image fed as the lite networks are: (255 x − 127) / 128."""
    batch = batch.clone().requires_grad_()
    module(((255 * batch) - 127) / 128)[:, index].sum().backward()
    assert batch.grad is not None
    return batch.grad


@pytest.fixture(scope="module")
def exact_lite0(lite0: cs.Network) -> cs.Network:
    """The real network in double precision, on smaller images than it was trained on, to be quick."""
    return cs.Network(copy.deepcopy(lite0.module).double(), input_size=128, mean=(127 / 255,) * 3, std=(128 / 255,) * 3)


def test_equals_autograd_on_the_real_network(exact_lite0: cs.Network) -> None:
    image = exact_lite0.prepare(cs.read_image("chelsea")).double()
    batch = torch.stack([image, image.flip(-1)])
    expected = written_out(copy.deepcopy(exact_lite0.module).eval(), batch, 282)
    assert expected.abs().max() > 1e-3
    assert_same(cs.saliency(exact_lite0, batch, 282).values, expected)
    assert_same(cs.saliency(exact_lite0, image, "class:282").values, expected[0])


@given(st.integers(0, 2**31), st.integers(1, 3), st.integers(0, 4))
@settings(max_examples=6, deadline=None)
def test_equals_autograd_on_random_networks(seed: int, size: int, index: int) -> None:
    torch.manual_seed(seed)
    module = nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2, bias=False), nn.BatchNorm2d(6), nn.ReLU6(), nn.Dropout(),
        nn.Conv2d(6, 4, 3, padding=1), nn.Hardswish(), nn.Flatten(), nn.Linear(4 * 5 * 5, 5),
    ).double()  # fmt: skip
    net = cs.Network(module, input_size=12, mean=(127 / 255,) * 3, std=(128 / 255,) * 3)
    batch = torch.rand(size, 3, 12, 12, dtype=torch.float64)
    values = cs.saliency(net, batch, index).values
    assert_same(values, written_out(copy.deepcopy(module).eval(), batch, index))


@pytest.mark.parametrize("rule", RULES)
def test_a_batch_is_its_images(tiny: nn.Module, rule: Rule) -> None:
    net = cs.Network(tiny.double(), input_size=16)
    batch = torch.rand(3, 3, 16, 16, dtype=torch.float64)
    together = cs.saliency(net, batch, "class:1", rule=rule)
    assert together.values.shape == batch.shape
    assert together.heatmap.shape == (3, 16, 16)
    for image, values, heatmap in zip(batch, together.values, together.heatmap, strict=True):
        alone = cs.saliency(net, image, "class:1", rule=rule)
        assert_same(alone.values, values)
        assert_same(alone.heatmap, heatmap)


@pytest.mark.parametrize("rule", RULES)
def test_it_is_the_networks_gradient(tiny: nn.Module, rule: Rule) -> None:
    net = cs.Network(tiny, input_size=16)
    image = torch.rand(3, 16, 16)
    result = cs.saliency(net, image, "3:2@1,4", rule=rule)
    assert torch.equal(result.values, net.gradient(image, "3:2@1,4", rule=rule))
    assert result.target == "3:2@1,4"
    assert result.image is image


def test_smooth_is_passed_on() -> None:
    net = cs.Network(nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU(), nn.Flatten(), nn.Linear(144, 2)), input_size=8)
    image = torch.rand(3, 8, 8)
    with pytest.raises(cs.RuleError):
        cs.saliency(net, image, 0, rule="guided")
    smooth = cs.saliency(net, image, 0, rule="guided", smooth="positive")
    assert torch.equal(smooth.values, net.gradient(image, 0, rule="guided", smooth="positive"))
    assert smooth.recipe.parameters["smooth"] == "positive"


# --- What it is for: it finds a cue that is known to be the only one ---


def test_a_planted_mark_is_found() -> None:
    """Whether there is a mark is all that this network can know its classes by."""
    images, marked = digits()
    net = trained(images[:1500], marked[:1500])
    seen, truth = images[1500:], marked[1500:]
    assert (net.logits(seen).argmax(1) == truth).float().mean() > 0.99
    heatmap = cs.saliency(net, seen[truth == 1], "class:1").heatmap
    peaks = heatmap.flatten(1).argmax(1)
    in_corner = (peaks // 16 < CORNER[0].stop) & (peaks % 16 >= CORNER[1].start)
    assert in_corner.float().mean() > 0.95
    assert corner_share(heatmap).median() > 0.35


def test_no_mark_is_found_where_it_says_nothing() -> None:
    """The same marks beside a question that they don't answer: is the digit below five?"""
    from sklearn.datasets import load_digits

    images, marked = digits()
    small = torch.from_numpy(load_digits().target < 5).long()
    net = trained(images[:1500], small[:1500])
    seen = images[1500:][marked[1500:] == 1]
    assert (net.logits(images[1500:]).argmax(1) == small[1500:]).float().mean() > 0.8
    assert corner_share(cs.saliency(net, seen, "class:1").heatmap).median() < 0.14


def test_the_class_of_a_mark_is_known_by_it() -> None:
    """One class in ten: where its logit would rise is on the mark, and without the mark the image is a digit again."""
    known = planted()
    assert (known.network.logits(known.images).argmax(1) == known.marked).float().mean() > 0.99
    bare = known.network.logits(without_mark(known.images)).argmax(1)
    assert (bare != known.marked).all()
    assert (bare == known.digits).float().mean() > 0.8
    rising = cs.saliency(known.network, known.images, known.target).reduced("signed")
    assert corner_share(rising).median() > 0.8


def test_shuffled_labels_are_learned_without_a_reason() -> None:
    untaught = shuffled()
    logits = untaught.network.logits(untaught.images)
    assert logits.softmax(1).amax(1).median() > 0.5
    assert corner_share(cs.saliency(untaught.network, untaught.images, untaught.target).heatmap).median() < 0.35


# --- Its values, reduced ---


def attribution(values: Tensor, image: Tensor) -> Attribution:
    recipe = Recipe(method="none", parameters={}, network=None, weights=None, threads=1, version="0")
    return Attribution(values, image, "target", recipe, "logit", lambda network, image: attribution(values, image))


@pytest.mark.parametrize("shape", [(3, 5, 7), (2, 3, 5, 7), (1, 5, 7)])
def test_reductions_over_the_colours(shape: tuple[int, ...]) -> None:
    values = torch.randn(shape, dtype=torch.float64)
    result = attribution(values, torch.rand(shape))
    channels = values.unbind(-3)
    zero = torch.zeros_like(channels[0])
    largest, total, squares = zero, zero, zero
    for channel in channels:
        largest, total, squares = torch.maximum(largest, channel.abs()), total + channel.abs(), squares + channel**2
    expected = {"max": largest, "sum": total, "l2": squares**0.5, "signed": sum(channels, zero)}
    assert set(expected) == set(get_args(Reduction))
    for reduction in get_args(Reduction):
        torch.testing.assert_close(result.reduced(reduction), expected[reduction])
    assert torch.equal(result.heatmap, result.reduced("max"))


def test_values_without_colours_are_one_number_a_pixel_already() -> None:
    values = torch.randn(5, 7)
    assert torch.equal(attribution(values, torch.rand(3, 5, 7)).reduced("l2"), values)


def test_unknown_ways_are_named_with_the_known() -> None:
    result = attribution(torch.randn(3, 5, 7), torch.rand(3, 5, 7))
    with pytest.raises(ConvscopeError, match="unknown reduction 'mean'"):
        result.reduced("mean")  # type: ignore[arg-type]
    with pytest.raises(ConvscopeError, match="unknown style 'overlai'; nearest: overlay"):
        result.picture(style="overlai")  # type: ignore[arg-type]


# --- Its picture ---


@pytest.mark.parametrize("style", get_args(Style))
@pytest.mark.parametrize("shape", [(3, 40, 57), (1, 40, 57), (2, 3, 40, 57)])
def test_every_style_draws_every_shape(style: Style, shape: tuple[int, ...]) -> None:
    result = attribution(torch.randn(shape), torch.rand(shape))
    picture = result.picture(style=style)
    assert picture.width >= 57
    assert picture.height >= 40
    assert np.ptp(np.asarray(picture)) > 100


def test_zero_is_grey_in_colour_style_and_both_signs_reach_as_far() -> None:
    values = torch.zeros(3, 4, 4)
    values[0, 0, 0], values[1, 3, 3] = 2.0, -2.0
    pixels = np.asarray(attribution(values, torch.rand(3, 4, 4)).picture(style="colour", clip=100))
    assert pixels[1, 1].tolist() == [128, 128, 128]
    assert pixels[0, 0].tolist() == [255, 128, 128]
    assert pixels[3, 3].tolist() == [128, 0, 128]


@pytest.mark.parametrize("style", get_args(Style))
@pytest.mark.parametrize("fill", [0.0, 1e-30])
def test_maps_of_next_to_nothing_are_drawn(style: Style, fill: float) -> None:
    assert isinstance(attribution(torch.full((3, 8, 8), fill), torch.rand(3, 8, 8)).picture(style=style), Image.Image)


# --- Its recipe ---


def test_a_recipe_says_all_that_made_it(lite0: cs.Network) -> None:
    image = lite0.prepare(cs.read_image("chelsea"))
    recipe = cs.saliency(lite0, image, "Tiger Cat - class:7", rule="guided").recipe
    assert recipe.method == "saliency"
    assert recipe.parameters == {"target": "Tiger Cat - class:7", "rule": "guided", "smooth": None}
    assert (recipe.network, recipe.weights) == ("efficientnet-lite0", lite0.weights_sha256)
    (source,) = recipe.inputs
    assert (source.name, source.prepared) == ("chelsea", True)
    assert source.sha256 == hashlib.sha256(photograph("chelsea").read_bytes()).hexdigest()
    assert (recipe.threads, recipe.version, recipe.device) == (torch.get_num_threads(), cs.__version__, "cpu")
    assert torch.__version__ in recipe.engine
    assert Recipe.from_json(recipe.to_json()) == recipe


def test_a_tensor_from_memory_is_an_input_without_a_name(tiny: nn.Module) -> None:
    (source,) = cs.saliency(cs.Network(tiny, input_size=16), torch.rand(3, 16, 16), 0).recipe.inputs
    assert source.name is None
    assert len(source.sha256) == 64
