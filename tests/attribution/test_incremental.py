"""The incremental engine: whatever the network and the windows, it gives what running every occluded image gives."""

import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.random_networks import Made, modules
from torch import Tensor, nn

import convscope as cs
from convscope.attribution.incremental import Incremental
from convscope.attribution.occluder import Windows
from convscope.network.engine import lean

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)


@dataclass(frozen=True)
class Question:
    """A network, the size of its images, and how they are occluded."""

    module: nn.Module
    size: tuple[int, int]
    window: tuple[int, int]
    stride: tuple[int, int]
    fill: Any
    batch: int | None

    def asked(self, dtype: torch.dtype, target: Any = None, **options: Any) -> Any:
        network = cs.Network(self.module.to(dtype), input_size=self.size, mean=MEAN, std=STD)
        torch.manual_seed(0)
        image = torch.rand(3, *self.size, dtype=torch.float64).to(dtype)
        fill = image.flip(-1) if self.fill == "image" else self.fill
        options = {"window": self.window, "stride": self.stride, "fill": fill, "batch": self.batch, **options}
        return cs.occlusion(network, image, target or everything, **options)


def everything(output: Any) -> Tensor:
    """One number that every output has a share of, each another."""
    flat: Tensor = output.flatten(1)
    return flat @ torch.linspace(-1, 1.7, flat.shape[1], dtype=flat.dtype)


def magnitude(output: Any) -> Tensor:
    """How large the numbers are that it is the sum of."""
    flat: Tensor = output.flatten(1)
    return flat.abs() @ torch.linspace(-1, 1.7, flat.shape[1], dtype=flat.dtype).abs()


@st.composite
def questions(draw: st.DrawFn, networks: st.SearchStrategy[Made]) -> Question:
    module, (rows, columns) = draw(networks)
    window = draw(st.integers(1, rows)), draw(st.integers(1, columns))
    stride = draw(st.integers(max(1, rows // 9), rows)), draw(st.integers(max(1, columns // 9), columns))
    fill = draw(st.sampled_from(["gray", "mean", "zero", 0.3, "image"]))
    return Question(module, (rows, columns), window, stride, fill, draw(st.sampled_from([None, 1, 5])))


def assert_same(incremental: cs.Occlusion, dense: cs.Occlusion, tolerance: float) -> None:
    assert (incremental.method, dense.method) == ("incremental", "dense")
    scale = max(float(dense.baseline.abs()), float(dense.values.abs().max()))
    assert float((incremental.values - dense.values).abs().max()) <= tolerance * scale + 1e-12
    assert float((incremental.scores - dense.scores).abs().max()) <= tolerance * scale + 1e-12


def check(question: Question, tolerance: float = 1e-10) -> cs.Occlusion:
    """The incremental result, held against the dense one."""
    incremental: cs.Occlusion = question.asked(torch.float64, method="incremental")
    assert_same(incremental, question.asked(torch.float64, method="dense"), tolerance)
    return incremental


# --- Networks drawn at random ---


@given(questions(modules()))
@settings(max_examples=100, deadline=None)
def test_equals_dense_on_random_networks(question: Question) -> None:
    check(question)


@pytest.mark.slow
@given(questions(modules(least=12, most=48, local=True)))
@settings(max_examples=60, deadline=None)
def test_stays_on_rectangles_as_long_as_calls_are_local(question: Question) -> None:
    assert "whole" not in check(question).recipe.engine


@pytest.mark.slow
@given(questions(modules()))
@settings(max_examples=40, deadline=None)
def test_equals_dense_in_single_precision(question: Question) -> None:
    incremental, _ = question.asked(torch.float32, [everything, magnitude], method="incremental")
    dense, size = question.asked(torch.float32, [everything, magnitude], method="dense")
    rounding = 64 * torch.finfo(torch.float32).eps * float(size.baseline)
    difference = float((incremental.values - dense.values).abs().max())
    assert difference <= 1e-4 * float(dense.values.abs().max()) + rounding


# --- Networks that are known ---


def known(name: str) -> nn.Module:
    """A network of torchvision's with random weights, and batch norm's statistics as training leaves them."""
    import torchvision

    options: dict[str, Any] = {"googlenet": {"aux_logits": False, "init_weights": False}}.get(name, {})
    module: nn.Module = torchvision.models.get_model(name, num_classes=7, **options).double()
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None
    with torch.no_grad():
        module.train()(torch.randn(4, 3, 65, 71, dtype=torch.float64))
    return module.eval()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["resnet18", "googlenet", "densenet121", "mobilenet_v2", "squeezenet1_1", "mnasnet0_5", "shufflenet_v2_x0_5"],
)
def test_equals_dense_on_known_networks(name: str) -> None:
    pytest.importorskip("torchvision")
    question = Question(known(name), (65, 71), (9, 14), (23, 21), "mean", None)
    whole = name == "shufflenet_v2_x0_5"  # it moves channels by reshaping maps
    assert ("whole" in check(question, 1e-9).recipe.engine) == whole


# --- Networks made to mislead ---


class Small(nn.Module):
    """Two convolutions and whatever is made of them, to three numbers."""

    def __init__(self, between: Callable[["Small", Tensor], Tensor], channels: int = 4) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4, track_running_stats=False)
        self.between, self.last = between, nn.Linear(channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.last(self.between(self, self.first(x)).mean((2, 3)))
        return result

    def twice(self, x: Tensor) -> Tensor:
        """The second convolution."""
        result: Tensor = self.second(x)
        return result


def a_view_is_read_before(net: Small, x: Tensor) -> Tensor:
    half = x[:, :2]
    return net.twice(torch.cat([half, F.relu(x)[:, 2:]], 1))


def a_padded_map_is_read_before(net: Small, x: Tensor) -> Tensor:
    padded = F.pad(x, (2, 2, 2, 2))
    return net.twice(padded)[:, :, 2:-2, 2:-2] + F.relu(x)


def a_map_padded_by_ones(net: Small, x: Tensor) -> Tensor:
    return net.twice(F.pad(F.relu(x), (1, 2, 0, 3), value=1.0))


def two_paddings_of_one_map_are_joined(net: Small, x: Tensor) -> Tensor:
    return net.twice(F.pad(x, (0, 2, 0, 2))) * F.relu(F.pad(x, (2, 0, 2, 0)))


def a_map_and_its_split_are_written(net: Small, x: Tensor) -> Tensor:
    one, other = x.chunk(2, 1)
    return net.twice(torch.cat([F.relu(other), one.sigmoid()], 1)) + x


def a_map_of_constants_is_added(net: Small, x: Tensor) -> Tensor:
    ramp = torch.linspace(0, 1, x.shape[3], dtype=x.dtype)
    return net.twice(x * ramp) + torch.outer(torch.linspace(0, 1, x.shape[2], dtype=x.dtype), ramp)


def a_map_of_coordinates_is_beside_it(net: Small, x: Tensor) -> Tensor:
    ramp = torch.linspace(0, 1, x.shape[3], dtype=x.dtype).expand(len(x), 1, *x.shape[2:])
    return net.twice(torch.cat([x[:, :3], ramp], 1))


def it_is_normalized_by_its_own_statistics(net: Small, x: Tensor) -> Tensor:
    return F.relu(net.norm(net.twice(x)))


def it_is_turned_around(net: Small, x: Tensor) -> Tensor:
    return net.twice(x.flip(-1)) + net.twice(x.roll(3, 2))


def every_other_place_is_taken(net: Small, x: Tensor) -> Tensor:
    return net.twice(x[:, :, 1::2, ::3]) + net.twice(x)[:, :, ::2, ::3]


def nothing_of_most_windows_is_read(net: Small, x: Tensor) -> Tensor:
    return F.conv2d(x, net.second.weight[..., :1, :1], stride=4) + F.max_pool2d(x, 1, 4)


def it_is_viewed_as_numbers(net: Small, x: Tensor) -> Tensor:
    return net.twice(net.twice(x).view(x.size(0), -1).view_as(x)) + x


def a_mean_gates_it(net: Small, x: Tensor) -> Tensor:
    return net.twice(x * x.mean((2, 3), keepdim=True).sigmoid())


def it_is_taken_by_comparison(net: Small, x: Tensor) -> Tensor:
    return torch.where(x > 0.1, net.twice(x), torch.maximum(x, -x))


def channels_are_reduced(net: Small, x: Tensor) -> Tensor:
    return net.twice(x * x.amax(1, keepdim=True)) - x.mean(1, keepdim=True)


def it_is_resized_to_its_own_size(net: Small, x: Tensor) -> Tensor:
    return net.twice(F.interpolate(x, size=x.shape[2:]))


def it_is_pooled_to_its_own_size(net: Small, x: Tensor) -> Tensor:
    return net.twice(F.adaptive_max_pool2d(x, x.shape[2:]))


MISLEADING = [
    a_view_is_read_before, a_padded_map_is_read_before, a_map_padded_by_ones, two_paddings_of_one_map_are_joined,
    a_map_and_its_split_are_written, a_map_of_constants_is_added, a_map_of_coordinates_is_beside_it,
    it_is_normalized_by_its_own_statistics, it_is_turned_around, every_other_place_is_taken,
    nothing_of_most_windows_is_read, it_is_viewed_as_numbers, a_mean_gates_it, it_is_taken_by_comparison,
    channels_are_reduced, it_is_resized_to_its_own_size, it_is_pooled_to_its_own_size,
]  # fmt: skip


@pytest.mark.parametrize("between", MISLEADING)
@pytest.mark.parametrize(("window", "stride"), [((3, 4), (3, 5)), ((1, 1), (4, 3)), ((9, 2), (2, 6))])
def test_equals_dense_on_networks_made_to_mislead(
    between: Callable[[Small, Tensor], Tensor], window: tuple[int, int], stride: tuple[int, int]
) -> None:
    module = Small(between).double().eval()
    check(Question(module, (20, 24), window, stride, "image", None))


def test_images_that_depend_on_each_other_are_run_alone() -> None:
    """Batch norm by the statistics of a batch: an occluded image is answered as if it were fed by itself."""
    module = Small(it_is_normalized_by_its_own_statistics).double().eval()
    question = Question(module, (12, 12), (5, 5), (4, 4), 0.5, 7)
    for method in ("incremental", "dense"):
        result = question.asked(torch.float64, 1, method=method)
        network = cs.Network(module, input_size=12, mean=MEAN, std=STD)
        covered = result.image.clone()
        covered[:, 4:9, 4:9] = 0.5
        torch.testing.assert_close(result.scores[1, 1], network.score(covered, 1), rtol=0, atol=1e-12)


# --- What it costs ---


def test_work_is_the_places_that_change() -> None:
    """By running every occluded image through a network in which no change is lost, and looking which places differ."""
    first, second = nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.Conv2d(4, 5, (1, 5), padding=(0, 2), groups=1)
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 2))
    module = nn.Sequential(first, nn.AvgPool2d(2, 1), second, *head).double().eval()
    network = cs.Network(module, input_size=(17, 22))
    image = torch.rand(3, 17, 22, dtype=torch.float64)
    windows = Windows.over(image, (4, 3), (5, 4))
    graph = network.graph((3, 17, 22))
    assert graph is not None
    fed = network.feed(image[None])
    work = Incremental(lean(graph, fed), fed, windows).work
    each = {"0": 4 * 27, "2": 5 * 4 * 5}
    clean = network.capture(image, list(each))
    changed, total = 0.0, sum(each[name] * math.prod(clean[name].shape[1:]) for name in each) + 10
    for row in range(windows.shape[0]):
        for column in range(windows.shape[1]):
            top, left, bottom, right = windows.box(row, column)
            covered = image.clone()
            covered[:, top:bottom, left:right] = torch.rand(3, bottom - top, right - left, dtype=torch.float64)
            seen = network.capture(covered, list(each))
            changed += 10 + sum(each[name] * int((seen[name] != clean[name]).any(0).sum()) for name in each)
    assert work == pytest.approx(changed / len(windows) / total, rel=1e-12)


# --- Its last part by another engine ---


class Branches(nn.Module):
    """A layer of which nothing is read but by what asks for it, between layers where all changes."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.narrow = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 1)
        self.wide, self.deep = nn.Conv2d(8, 8, 13, padding=6), nn.Conv2d(8, 8, 5, padding=2)
        self.last = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Any:
        x = self.first(x)
        narrow, deep = self.narrow(x), self.deep(F.relu(self.wide(x)))
        return self.last(torch.cat([narrow, deep], 1).mean((2, 3)))


@pytest.mark.skipif(importlib.util.find_spec("onnxruntime") is None, reason="needs the extra onnx")
@pytest.mark.parametrize("target", ["deep:2 - narrow:1 - class:1", "narrow:1 - deep:2", "class:0 - wide:3@4,4"])
def test_the_last_part_by_onnx_runtime(target: Any) -> None:
    question = Question(Branches().eval(), (16, 18), (6, 6), (3, 4), "gray", None)
    fast, plain, dense = (
        question.asked(torch.float32, target, method=method, engine=engine)
        for method, engine in (("incremental", "onnx"), ("incremental", "torch"), ("dense", "torch"))
    )
    assert "onnxruntime" in fast.recipe.engine
    assert "onnxruntime" not in plain.recipe.engine
    largest = float(dense.values.abs().max())
    for other in (plain, dense):
        torch.testing.assert_close(fast.values, other.values, rtol=0, atol=1e-4 * largest)


def test_a_bias_as_long_as_a_row_is_no_map() -> None:
    module = nn.Sequential(
        nn.Conv2d(3, 2, (1, 3), stride=2, padding=(0, 3), bias=False), nn.ConvTranspose2d(2, 6, 1, groups=2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3),
    )  # fmt: skip
    question = Question(module, (8, 8), (1, 1), (1, 1), "gray", None)
    double = torch.float64
    assert_same(question.asked(double, method="incremental"), question.asked(double, method="dense"), 1e-10)
