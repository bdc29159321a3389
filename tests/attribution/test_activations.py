"""Activations against forward hooks, and the pictures of them."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import convscope as cs
from convscope.errors import LayerError


def hooked(module: nn.Module, path: str, batch: Tensor) -> Tensor:
    """What a submodule returns, by a forward hook on a copy of the module."""
    module = copy.deepcopy(module).eval()
    seen: list[Tensor] = []
    module.get_submodule(path).register_forward_hook(lambda *call: seen.append(call[2].clone()))
    with torch.no_grad():
        module(batch)
    return seen[0]


@pytest.mark.parametrize("layer", ["stem.conv", "stem.activation", "blocks.3", "blocks.9.depthwise.norm", "head"])
def test_values_are_those_that_a_hook_sees(lite0: cs.Network, layer: str) -> None:
    image = lite0.prepare(cs.read_image("chelsea"))
    result = cs.activations(lite0, image, layer)
    torch.testing.assert_close(
        result.values, hooked(lite0.module, layer, (255 * image[None] - 127) / 128)[0], rtol=1e-4, atol=1e-4
    )
    assert result.values.shape == lite0.layers[layer].shape
    assert result.layer == layer
    assert result.image is image


@pytest.mark.parametrize("layer", ["0", "1", "2", "3", "4", "5"])
def test_a_batch_is_its_images(tiny: nn.Module, layer: str) -> None:
    net, batch = cs.Network(tiny, input_size=16), torch.rand(3, 3, 16, 16)
    together = cs.activations(net, batch, layer)
    torch.testing.assert_close(together.values, hooked(tiny, layer, batch))
    for image, values in zip(batch, together.values, strict=True):
        torch.testing.assert_close(cs.activations(net, image, layer).values, values)


def test_a_layer_without_space_is_an_error_that_names_the_last_with_it(tiny: nn.Module) -> None:
    net = cs.Network(tiny, input_size=16)
    for image in (torch.rand(3, 16, 16), torch.rand(2, 3, 16, 16)):
        with pytest.raises(LayerError, match=r"'6' has no space, its output is \(8,\); .* the last is '5'"):
            cs.activations(net, image, "6")
    with pytest.raises(LayerError, match="no layer 'nowhere'"):
        cs.activations(net, torch.rand(3, 16, 16), "nowhere")


def test_no_layer_with_space_at_all() -> None:
    net = cs.Network(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), input_size=2)
    with pytest.raises(LayerError, match="has no space"):
        cs.activations(net, torch.rand(3, 2, 2), "0")


def test_the_strongest_channels_come_first(tiny: nn.Module) -> None:
    net = cs.Network(tiny, input_size=16)
    result = cs.activations(net, torch.rand(3, 16, 16), "3")
    peaks = result.values.amax((1, 2)).tolist()
    by_hand = sorted(range(8), key=lambda channel: -peaks[channel])
    assert result.strongest(3) == by_hand[:3]
    assert result.strongest(8) == result.strongest(100) == by_hand


def test_recipe(lite0: cs.Network) -> None:
    recipe = cs.activations(lite0, lite0.prepare(cs.read_image("coffee")), "blocks.3").recipe
    assert (recipe.method, recipe.parameters) == ("activations", {"layer": "blocks.3"})
    assert (recipe.network, recipe.weights) == ("efficientnet-lite0", lite0.weights_sha256)
    assert [(each.name, each.prepared) for each in recipe.inputs] == [("coffee", True)]


# --- Pictures ---


def sizes(result: cs.Activations, **options: Any) -> tuple[int, int]:
    picture = result.picture(**options)
    assert picture.mode == "RGB"
    assert np.asarray(picture).std() > 0
    return picture.size


def test_fewer_channels_make_a_smaller_picture(lite0: cs.Network) -> None:
    result = cs.activations(lite0, lite0.prepare(cs.read_image("chelsea")), "blocks.3")
    whole, few = sizes(result, beside=False), sizes(result, strongest=6, beside=False)
    assert few[0] * few[1] < whole[0] * whole[1] / 2
    assert sizes(result, strongest=40) == sizes(result)
    assert sizes(result, strongest=4000) == sizes(result)


def test_the_image_stands_beside_its_maps(tiny: nn.Module) -> None:
    image = torch.rand(3, 40, 60)
    result = cs.activations(cs.Network(tiny, input_size=(40, 60)), image, "1")
    maps, beside = result.picture(beside=False), result.picture()
    assert beside.width == maps.width + 60
    assert beside.height >= max(maps.height, 40)
    corner = np.asarray(beside)[:40, :60].transpose(2, 0, 1)
    assert np.abs(corner / 255 - image.numpy()).max() < 1 / 255


def test_one_scale_for_all_differs_from_each_its_own(tiny: nn.Module) -> None:
    net = cs.Network(tiny, input_size=16)
    result = cs.activations(net, torch.rand(3, 16, 16), "0")
    own, shared = result.picture(), result.picture(shared=True)
    assert own.tobytes() != shared.tobytes()


@pytest.mark.parametrize("layer", ["0", "5"])
def test_a_batch_is_drawn_image_by_image(tiny: nn.Module, layer: str) -> None:
    net, batch = cs.Network(tiny, input_size=16), torch.rand(3, 3, 16, 16)
    alone = sizes(cs.activations(net, batch[0], layer))
    together = sizes(cs.activations(net, batch, layer))
    assert together[1] > alone[1]


def test_grey_images_and_single_channels_are_drawn() -> None:
    net = cs.Network(nn.Sequential(nn.Conv2d(1, 1, 3)), input_size=9, channels=1)
    assert min(sizes(cs.activations(net, torch.rand(1, 9, 9), "0"))) >= 7
