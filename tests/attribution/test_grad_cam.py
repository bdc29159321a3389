"""Class activation maps against their definition, in networks that overwrite, branch and can't be traced."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.planted import corner_share, detector, without_mark
from torch import Tensor, nn

import convscope as cs

# --- Its definition ---


def enlarged_slowly(small: Tensor, rows: int, columns: int) -> Tensor:
    """Bilinear interpolation between the middles of the places, a pixel at a time; beyond the outer middles flat."""
    height, width = small.shape

    def between(pixel: int, count: int, length: int) -> tuple[int, int, float]:
        at = min(max((pixel + 0.5) * length / count - 0.5, 0.0), length - 1.0)
        low = min(int(at), length - 1)
        return low, min(low + 1, length - 1), at - low

    large = torch.zeros(rows, columns, dtype=small.dtype)
    for row in range(rows):
        top, bottom, down = between(row, rows, height)
        for column in range(columns):
            left, right, across = between(column, columns, width)
            upper = (1 - across) * small[top, left] + across * small[top, right]
            lower = (1 - across) * small[bottom, left] + across * small[bottom, right]
            large[row, column] = (1 - down) * upper + down * lower
    return large


def cam_slowly(before: nn.Module, after: nn.Module, image: Tensor, score: Callable[[Tensor], Tensor]) -> Tensor:
    """Selvaraju et al. 2017, equations 1 and 2 without the rectifier, a channel at a time."""
    maps = before(image[None]).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(score(after(maps)), maps)
    cam = torch.zeros(maps.shape[2:], dtype=image.dtype)
    for channel in range(maps.shape[1]):
        weight = gradient[0, channel].sum() / cam.numel()
        cam += weight * maps[0, channel].detach()
    return cam


def small(*, inplace: bool = False) -> nn.Sequential:
    """A network of two stages for images of 3×12×16, in double precision."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(inplace), nn.MaxPool2d(2), nn.Conv2d(6, 5, 3), nn.ReLU(inplace),
        nn.Flatten(), nn.Linear(5 * 4 * 6, 4),
    ).double()  # fmt: skip


@given(st.integers(0, 2**31), st.integers(0, 3), st.sampled_from([(1, "0"), (2, "1"), (3, "2"), (4, "3"), (5, "4")]))
@settings(max_examples=8, deadline=None)
def test_equals_its_definition(seed: int, index: int, cut: tuple[int, str]) -> None:
    torch.manual_seed(seed)
    module = small()
    image = torch.rand(3, 12, 16, dtype=torch.float64)
    count, layer = cut
    cam = cam_slowly(module[:count], module[count:], image, lambda logits: logits[0, index])
    result = cs.grad_cam(cs.Network(module, input_size=(12, 16)), image, index, layer=layer)
    torch.testing.assert_close(result.cam, cam, rtol=0, atol=1e-12)
    torch.testing.assert_close(result.values, enlarged_slowly(cam.clamp(min=0), 12, 16), rtol=0, atol=1e-12)


def test_after_global_pooling_it_is_the_class_activation_map_of_zhou() -> None:
    features = nn.Sequential(nn.Conv2d(3, 7, 3, stride=2), nn.ReLU())
    head = nn.Linear(7, 3)
    module = nn.Sequential(features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head).double()
    image = torch.rand(3, 17, 21, dtype=torch.float64)
    maps = features(image[None])[0].detach()
    result = cs.grad_cam(cs.Network(module, input_size=(17, 21)), image, 2)
    zhou = torch.einsum("k,khw->hw", head.weight[2].detach(), maps)
    torch.testing.assert_close(result.cam, zhou / zhou.numel())
    # So it adds up to the logit without the bias.
    torch.testing.assert_close(result.cam.sum() + head.bias[2].detach(), module(image[None])[0, 2].detach())


def test_a_constant_added_to_a_logit_changes_nothing() -> None:
    module = small()
    image = torch.rand(3, 12, 16, dtype=torch.float64)
    net = cs.Network(module, input_size=(12, 16))
    before = cs.grad_cam(net, image, 1).cam
    with torch.no_grad():
        next(reversed(list(module.parameters()))).add_(3.0)
    assert torch.equal(cs.grad_cam(net, image, 1).cam, before)


def test_a_difference_is_the_difference_of_maps_before_the_rectifier() -> None:
    net = cs.Network(small(), input_size=(12, 16))
    image = torch.rand(3, 12, 16, dtype=torch.float64)
    one, other, both = (cs.grad_cam(net, image, each, signed=True) for each in (1, 3, "class:1 - class:3"))
    torch.testing.assert_close(both.values, one.values - other.values)
    assert both.values.min() < 0


def test_a_batch_is_its_images() -> None:
    net = cs.Network(small(), input_size=(12, 16))
    batch = torch.rand(3, 3, 12, 16, dtype=torch.float64)
    together = cs.grad_cam(net, batch, "class:1")
    assert together.values.shape == (3, 12, 16)
    for index, image in enumerate(batch):
        alone = cs.grad_cam(net, image, "class:1")
        torch.testing.assert_close(together.values[index], alone.values)
        torch.testing.assert_close(together.cam[index], alone.cam)
    assert together.picture(style="overlay").width > 16


def test_it_is_made_again_of_another_image_and_network() -> None:
    net, other = (cs.Network(small(), input_size=(12, 16)) for _ in range(2))
    images = torch.rand(2, 3, 12, 16, dtype=torch.float64)
    result = cs.grad_cam(net, images[0], 2, layer="1", signed=True)
    again = result.again(other, images[1])
    assert torch.equal(again.values, cs.grad_cam(other, images[1], 2, layer="1", signed=True).values)


# --- Networks that make it hard ---


class Overwriting(nn.Module):
    """A block whose layers are overwritten, by a rectifier and by a sum, and read again as a skip before that."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, padding=1), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        skip = x * 2
        x = F.relu_(x)
        y = self.second(x)
        y += skip
        y = F.relu_(y)
        scores: Tensor = self.head((y * y).mean((2, 3)))
        return scores

    def written_out(self, x: Tensor) -> dict[str, Tensor]:
        first = self.first(x)
        relu = F.relu(first)
        second = self.second(relu)
        added = second + first * 2
        last = F.relu(added)
        return {
            "first": first,
            "relu": relu,
            "second": second,
            "add": added,
            "relu_1": last,
            "": self.head((last**2).mean((2, 3))),
        }


def test_layers_that_are_overwritten_are_taken_as_they_were() -> None:
    module = Overwriting().double()
    image = torch.rand(3, 9, 8, dtype=torch.float64)
    net = cs.Network(module, input_size=(9, 8))
    values = module.written_out(image[None].requires_grad_())
    names = [name for name in values if name]
    gradients = torch.autograd.grad(values[""][0, 1], [values[name] for name in names])
    for name, gradient in zip(names, gradients, strict=True):
        activations, found = net.layer_gradient(image, 1, name)
        torch.testing.assert_close(activations, values[name][0].detach(), msg=name)
        torch.testing.assert_close(found, gradient[0], msg=name)


@pytest.mark.parametrize("layer", ["0", "1", "2", "3", "4", "5", "6"])
def test_rectifiers_in_place_change_nothing(layer: str) -> None:
    torch.manual_seed(0)
    one = cs.Network(small(), input_size=(12, 16))
    torch.manual_seed(0)
    other = cs.Network(small(inplace=True), input_size=(12, 16))
    image = torch.rand(3, 12, 16, dtype=torch.float64)
    expected, found = (net.layer_gradient(image, 2, layer) for net in (one, other))
    torch.testing.assert_close(found, expected)


class Reading(nn.Module):
    """A network that can't be traced: it looks at values in Python."""

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: Tensor) -> Any:
        return self.layers(x) * (1.0 if float(x.sum()) > -1e9 else 0.0)


@pytest.mark.parametrize("inplace", [False, True])
def test_a_network_that_can_not_be_traced_runs_as_submodules(inplace: bool) -> None:
    torch.manual_seed(0)
    traced = cs.Network(small(), input_size=(12, 16))
    torch.manual_seed(0)
    untraced = cs.Network(Reading(small(inplace=inplace)), input_size=(12, 16))
    assert untraced.notes
    image = torch.rand(3, 12, 16, dtype=torch.float64)
    for layer in ("0", "1", "3", "4"):
        expected = cs.grad_cam(traced, image, 1, layer=layer)
        torch.testing.assert_close(cs.grad_cam(untraced, image, 1, layer=f"layers.{layer}").values, expected.values)
    assert cs.grad_cam(untraced, image, 1).layer == "layers.4"
    torch.testing.assert_close(cs.grad_cam(untraced, image, 1).values, cs.grad_cam(traced, image, 1).values)


def test_it_works_in_inference_mode_and_leaves_nothing_behind() -> None:
    net = cs.Network(small(), input_size=(12, 16))
    image = torch.rand(3, 12, 16, dtype=torch.float64)
    expected = cs.grad_cam(net, image, 1).values
    with torch.inference_mode():
        assert torch.equal(cs.grad_cam(net, image, 1).values, expected)
    result = cs.grad_cam(net, image, 1)
    assert not result.values.requires_grad
    assert not result.cam.requires_grad
    assert not image.requires_grad


# --- Which layer ---


def chosen(module: nn.Module, target: Any, *, size: tuple[int, int] = (12, 16), head: Any = "softmax") -> str:
    net = cs.Network(module, input_size=size, head=head)
    return cs.grad_cam(net, torch.rand(3, *size), target).layer


def test_the_last_layer_with_more_than_one_place_is_taken(lite0: cs.Network) -> None:
    assert cs.grad_cam(lite0, torch.rand(3, 224, 224), 3).layer == "head.activation"
    assert chosen(small().float(), 1) == "4"
    gate = nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 4, 1), nn.Flatten())
    assert chosen(gate, 1) == "1"


def test_pooling_and_padding_are_passed_over() -> None:
    layers = [
        nn.Conv2d(3, 4, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(),
        nn.ZeroPad2d(1),
        nn.Flatten(),
        nn.LazyLinear(2),
    ]
    module = nn.Sequential(*layers)
    module(torch.rand(1, 3, 12, 16))
    assert chosen(module, 1) == "1"


def test_a_joined_layer_is_taken_whole() -> None:
    class Joined(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 2, 3)

        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([self.one(x), self.other(x)], 1).mean((2, 3))

    assert chosen(Joined(), 5) == "cat"


def test_a_layer_of_one_channel_will_do() -> None:
    module = nn.Sequential(nn.Conv2d(3, 1, 3), nn.Sigmoid(), nn.Flatten(), nn.Linear(140, 2))
    net = cs.Network(module, input_size=(12, 16))
    result = cs.grad_cam(net, torch.rand(3, 12, 16), "class:0 - class:1", signed=True)
    assert result.layer == "1"
    assert result.values.abs().max() > 0


def test_of_outputs_that_are_maps_what_they_are_made_of_is_taken() -> None:
    dense = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 4, 1), nn.Upsample(scale_factor=2))
    net = cs.Network(dense, input_size=(12, 16), labels=list("abcd"))
    assert cs.grad_cam(net, torch.rand(3, 12, 16), "class:3").layer == "1"
    single = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 1, 1))
    net = cs.Network(single, input_size=(12, 16), labels=["not", "it"], head="single-logit")
    assert cs.grad_cam(net, torch.rand(3, 12, 16), "it").layer == "1"


def test_of_a_channel_what_comes_before_is_taken() -> None:
    assert chosen(small().float(), "3:2") == "1"
    assert chosen(small().float(), "4:2@1,1 - 3:0") == "1"


def test_a_layer_beside_the_way_is_not_taken() -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.main, self.aside = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return F.relu(self.main(x)).mean((2, 3)), F.relu(self.aside(x)).mean((2, 3))

    net = cs.Network(Branches(), input_size=12, output=lambda both: both[0])
    image = torch.rand(3, 12, 12)
    assert cs.grad_cam(net, image, 1).layer == "relu"
    with pytest.raises(cs.LayerError, match=r"doesn't depend on layer 'aside'.*layers with space: .*main"):
        cs.grad_cam(net, image, 1, layer="aside")


def test_layers_that_will_not_do_are_refused_with_those_that_would(tiny: nn.Module) -> None:
    net, image = cs.Network(tiny, input_size=16), torch.rand(3, 16, 16)
    with pytest.raises(cs.LayerError, match=r"'7' has no space.*layers with space: 4, 3, 1, 0"):
        cs.grad_cam(net, image, 1, layer="7")
    with pytest.raises(cs.LayerError, match=r"'5' has one place only.*layers with space: 4"):
        cs.grad_cam(net, image, 1, layer="5")
    with pytest.raises(cs.LayerError, match="no layer 'conv'"):
        cs.grad_cam(net, image, 1, layer="conv")
    with pytest.raises(cs.LayerError, match="no layer with more than one place leads to the target '0:1'"):
        cs.grad_cam(net, image, "0:1")
    with pytest.raises(cs.LayerError, match="no layer with more than one place"):
        cs.grad_cam(cs.Network(nn.Sequential(nn.Flatten(), nn.Linear(768, 2)), input_size=16), image, 1)


def test_an_image_of_another_size_is_looked_at_as_it_is(tiny: nn.Module) -> None:
    result = cs.grad_cam(cs.Network(tiny, input_size=16), torch.rand(3, 20, 28), 1)
    assert result.values.shape == (20, 28)
    assert result.cam.shape == (8, 12)


# --- What it shows ---


def against() -> cs.Network:
    """A network whose only layer speaks against its class everywhere."""
    layer, head = nn.Conv2d(3, 2, 3), nn.Linear(2, 1)
    with torch.no_grad():
        layer.weight.abs_()
        head.weight.fill_(-1.0)
    module = nn.Sequential(layer, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
    return cs.Network(module, input_size=10, head="sigmoid")


def test_a_layer_that_speaks_against_the_target_is_shown_as_that() -> None:
    net, batch = against(), torch.rand(2, 3, 10, 10)
    result = cs.grad_cam(net, batch[0], 0)
    assert torch.equal(result.values, torch.zeros(10, 10))
    assert result.note.startswith("no place of 1 speaks for the target")
    assert result.cam.max() < 0
    assert result.picture(style="overlay").width >= 10
    assert "in 2 of 2 images" in cs.grad_cam(net, batch, 0).note
    signed = cs.grad_cam(net, batch[0], 0, signed=True)
    assert signed.values.max() < 0
    assert not signed.note


def test_a_map_that_is_not_empty_needs_no_words(lite0: cs.Network) -> None:
    image = lite0.prepare(cs.read_image("chelsea"))
    result = cs.grad_cam(lite0, image, "tiger cat")
    assert not result.note
    assert result.unit == "logit at head.activation"
    assert result.recipe.parameters == {"target": "tiger cat", "layer": "head.activation", "signed": False}


def test_a_planted_mark_is_found() -> None:
    """In a network whose channels each answer to one thing; without the mark the image is of another class."""
    known = detector()
    result = cs.grad_cam(known.network, known.images, known.target)
    assert corner_share(result.values).median() >= 0.8
    assert (known.network.logits(known.images).argmax(1) == known.marked).all()
    assert (known.network.logits(without_mark(known.images)).argmax(1) != known.marked).all()


# --- Guided ---


def test_guided_grad_cam_is_guided_saliency_times_the_map(tiny: nn.Module) -> None:
    net = cs.Network(tiny.double(), input_size=16)
    batch = torch.rand(2, 3, 16, 16, dtype=torch.float64)
    for image in (batch, batch[0]):
        guided = cs.saliency(net, image, 2, rule="guided").values
        cam = cs.grad_cam(net, image, 2, layer="1").values
        result = cs.guided_grad_cam(net, image, 2, layer="1")
        assert torch.equal(result.values, guided * cam.unsqueeze(-3))
        assert torch.equal(result.again(net, image).values, result.values)


def test_guided_grad_cam_passes_smooth_on() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU(), nn.Flatten(), nn.Linear(144, 2))
    net, image = cs.Network(module, input_size=8), torch.rand(3, 8, 8)
    with pytest.raises(cs.RuleError):
        cs.guided_grad_cam(net, image, 0)
    assert cs.guided_grad_cam(net, image, 0, smooth="positive").recipe.parameters["smooth"] == "positive"


def test_guided_grad_cam_finds_the_mark() -> None:
    known = detector()
    result = cs.guided_grad_cam(known.network, known.images, known.target)
    assert corner_share(result.reduced("signed")).median() >= 0.8
