"""Occlusion against its definition written out, against Captum, and what is made of its answers."""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.planted import corner_share, planted
from torch import Tensor, nn

import convscope as cs
from convscope.attribution.attribution import Style
from convscope.attribution.occluded import Method
from convscope.attribution.occluder import Places
from convscope.attribution.occlusion import OcclusionStyle
from convscope.errors import Cancelled, ConvscopeError, ImageError, MissingExtra, NetworkError, TargetError
from convscope.progress import Progress

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)
SIZE = (18, 23)


def network(module: nn.Module | None = None, **options: Any) -> cs.Network:
    options = {"input_size": SIZE, "mean": MEAN, "std": STD, **options}
    return cs.Network((module or convolutional()).double(), **options)


def convolutional(channels: int = 3, classes: int = 4) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes),
    )  # fmt: skip


def picture(size: tuple[int, int] = SIZE, channels: int = 3) -> Tensor:
    return torch.rand(channels, *size, dtype=torch.float64)


def assert_same(one: Tensor, other: Tensor, tolerance: float = 1e-10) -> None:
    torch.testing.assert_close(one, other, rtol=0, atol=tolerance)


# --- By its definition ---


def written_out(
    score: Callable[[Tensor], Tensor], image: Tensor, fill: Tensor, window: tuple[int, int], stride: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Every window laid by hand: the scores by row and column, and each pixel's mean fall over those that cover it."""
    baseline = float(score(image))
    rows, columns = (
        [at for at in range(0, length, s) if at < length - w + s]
        for length, w, s in zip(image.shape[1:], window, stride, strict=True)
    )
    scores = torch.full((len(rows), len(columns)), torch.nan, dtype=torch.float64)
    total, times = torch.zeros(2, *image.shape[1:], dtype=torch.float64)
    for row, top in enumerate(rows):
        for column, left in enumerate(columns):
            covers = torch.zeros(image.shape[1:], dtype=torch.bool)
            covers[top : top + window[0], left : left + window[1]] = True
            scores[row, column] = float(score(torch.where(covers, fill, image)))
            total[covers] += baseline - scores[row, column]
            times[covers] += 1
    return scores, total / times.clamp(min=1)


FILLS: dict[str, tuple[Any, Callable[[Tensor], Tensor]]] = {
    "gray": ("gray", lambda image: torch.full_like(image, 0.5)),
    "mean": ("mean", lambda image: image.mean((1, 2), keepdim=True).expand_as(image)),
    "zero": ("zero", lambda image: torch.tensor(MEAN, dtype=image.dtype)[:, None, None].expand_as(image)),
    "a number": (0.25, lambda image: torch.full_like(image, 0.25)),
    "nought": (0, torch.zeros_like),
    "one a channel": ([0.1, 0.9, 0.4], lambda image: torch.tensor([0.1, 0.9, 0.4], dtype=image.dtype)[:, None, None]),
    "one a channel, a tensor": (torch.tensor([0.5, 0.0, 1.0]), lambda image: torch.tensor([0.5, 0, 1])[:, None, None]),
    "an image": (torch.linspace(0, 1, 3 * 18 * 23).reshape(3, *SIZE), lambda image: FILLS["an image"][0].to(image)),
}
GRIDS = [((5, 5), (5, 5)), ((6, 4), (2, 3)), ((3, 2), (4, 6)), ((18, 23), (1, 1)), ((7, 23), (11, 2)), ((1, 1), (6, 9))]


@pytest.mark.parametrize("method", ["incremental", "dense"])
@pytest.mark.parametrize("fill", FILLS)
def test_every_fill_is_as_written_out(fill: str, method: Method) -> None:
    net, image = network(), picture()
    given, filled = FILLS[fill]
    result = cs.occlusion(net, image, "class:2", window=(6, 4), stride=(3, 5), fill=given, method=method)
    scores, values = written_out(lambda x: net.score(x, 2), image, filled(image), (6, 4), (3, 5))
    assert_same(result.scores, scores)
    assert_same(result.values, values)
    assert_same(result.baseline, net.score(image, 2))
    assert values.abs().max() > 1e-4


@pytest.mark.parametrize("method", ["incremental", "dense"])
@pytest.mark.parametrize(("window", "stride"), GRIDS)
def test_every_grid_is_as_written_out(window: tuple[int, int], stride: tuple[int, int], method: Method) -> None:
    net, image = network(), picture()
    result = cs.occlusion(net, image, 1, window=window, stride=stride, method=method)
    scores, values = written_out(lambda x: net.score(x, 1), image, torch.full_like(image, 0.5), window, stride)
    assert_same(result.scores, scores)
    assert_same(result.values, values)


def test_one_number_is_for_rows_and_columns() -> None:
    net, image = network(), picture()
    one, pair = (cs.occlusion(net, image, 0, window=w, stride=s) for w, s in ((5, 4), ((5, 5), (4, 4))))
    assert torch.equal(one.values, pair.values)
    assert [one.windows.box(0, 0), one.windows.box(1, 2), one.windows.box(4, 5)] == [
        (0, 0, 5, 5), (4, 8, 9, 13), (16, 20, 18, 23),
    ]  # fmt: skip


def test_windows_further_apart_than_they_are_wide_stay_on_the_image() -> None:
    """Ten pixels, two wide, every nine: the second is cut off, and there is no third."""
    result = cs.occlusion(network(input_size=10), picture((10, 10)), 0, window=2, stride=9)
    assert (result.windows.rows.starts, result.windows.rows.stops) == ((0, 9), (2, 10))
    assert cs.occlusion(network(input_size=10), picture((10, 10)), 0, window=2, stride=10).scores.shape == (1, 1)
    assert (result.values[:, 2:9] == 0).all()


# --- Captum ---


@pytest.mark.parametrize("size", [(18, 23), (16, 16), (25, 9)])
@pytest.mark.parametrize(("window", "stride"), [((5, 5), (5, 5)), ((6, 4), (2, 3)), ((7, 9), (3, 9)), ((4, 4), (4, 2))])
def test_equals_captum(size: tuple[int, int], window: tuple[int, int], stride: tuple[int, int]) -> None:
    attr = pytest.importorskip("captum.attr")
    net, image = network(input_size=size), picture(size)
    theirs = attr.Occlusion(net.module.eval()).attribute(
        net.feed(image[None]), sliding_window_shapes=(3, *window), strides=(3, *stride), target=2, baselines=0
    )
    ours = cs.occlusion(net, image, 2, window=window, stride=stride, fill="zero")
    assert ours.values.abs().max() > 1e-4
    for channel in theirs[0].double():  # computed in doubles, but returned in single precision
        torch.testing.assert_close(ours.values, channel, rtol=2 * torch.finfo(torch.float32).eps, atol=1e-12)


@pytest.mark.slow
def test_equals_captum_on_the_real_network(lite0: cs.Network) -> None:
    attr = pytest.importorskip("captum.attr")
    image = lite0.prepare(cs.read_image("chelsea"))
    theirs = attr.Occlusion(lite0.module.eval()).attribute(
        lite0.feed(image[None]), sliding_window_shapes=(3, 48, 40), strides=(3, 48, 40), target=282, baselines=0
    )[0, 0]
    for method in get_args(Method):
        ours = cs.occlusion(lite0, image, 282, window=(48, 40), stride=(48, 40), fill="zero", method=method)
        assert_same(ours.values, theirs.detach(), 1e-4 * float(theirs.abs().max()))


# --- Targets ---


def margin(logits: Tensor) -> Tensor:
    """By how much the first class leads."""
    return logits[:, 0] - logits[:, 1:].amax(1)


TARGETS: list[Any] = [
    2, "class:3", "class:0 - class:1", "3", "3:5", "3:5@2,4", "1:2 - class:2", "0:1@3,3 + 4:1", margin,
]  # fmt: skip


@pytest.mark.parametrize("method", ["incremental", "dense"])
def test_several_targets_in_one_pass_are_the_single_ones(method: Method) -> None:
    net, image = network(), picture()
    together = cs.occlusion(net, image, TARGETS, window=6, stride=4, method=method)
    for target, one in zip(TARGETS, together, strict=True):
        alone = cs.occlusion(net, image, target, window=6, stride=4, method=method)
        scores, _ = written_out(partial(net.score, target=target), image, torch.full_like(image, 0.5), (6, 6), (4, 4))
        assert_same(one.values, alone.values, 1e-14)
        assert_same(one.scores, scores)
        assert (one.target, one.unit, one.recipe) == (alone.target, alone.unit, alone.recipe)
        assert (one.probabilities is None) == (target not in (2, "class:3"))


def test_a_mask(tmp_path: Path) -> None:
    net, image = network(), picture()
    mask = Image.new("L", (SIZE[1], SIZE[0]))
    mask.paste(255, (0, 0, 9, 9))
    mask.save(tmp_path / "mask.png")
    target = f"3:2@{tmp_path / 'mask.png'}"
    result = cs.occlusion(net, image, target, window=6, stride=6)
    scores, values = written_out(
        lambda x: net.score(x, target), image, torch.full_like(image, 0.5), (6, 6), (6, 6)
    )  # fmt: skip
    assert_same(result.scores, scores)
    assert_same(result.values, values)
    assert result.probabilities is None
    assert (result.values[:, 18:] == 0).all()
    assert len(result.recipe.inputs) == 2


def test_a_list_of_one_is_answered_by_a_list() -> None:
    (one,) = cs.occlusion(network(), picture(), ["class:1"], window=9, stride=9)
    assert isinstance(one, cs.Occlusion)


# --- Batches ---


@pytest.mark.parametrize("fill", ["mean", "an image"])
@pytest.mark.parametrize("method", ["incremental", "dense"])
def test_a_batch_is_its_images(fill: str, method: Method) -> None:
    net = network()
    batch = torch.stack([picture(), picture()])
    options: dict[str, Any] = {"window": (6, 4), "stride": 5, "fill": FILLS[fill][0], "method": method}
    together = cs.occlusion(net, batch, "class:1", **options)
    assert together.values.shape == (2, *SIZE)
    assert together.scores.shape == (2, *together.windows.shape)
    assert together.baseline.shape == (2,)
    assert together.probabilities is not None
    assert together.baseline_probability is not None
    for index, image in enumerate(batch):
        alone = cs.occlusion(net, image, "class:1", **options)
        assert alone.probabilities is not None
        assert alone.baseline_probability is not None
        assert_same(together.values[index], alone.values)
        assert_same(together.scores[index], alone.scores)
        assert_same(together.probabilities[index], alone.probabilities)
        assert_same(together.baseline_probability[index], alone.baseline_probability)
    with pytest.raises(ImageError, match="one image"):
        together.rises()


def test_windows_at_once_change_nothing() -> None:
    net, image = network(), picture()
    for method in ("incremental", "dense"):
        results = [cs.occlusion(net, image, 1, window=5, stride=3, batch=n, method=method) for n in (None, 1, 3, 999)]
        for other in results[1:]:
            assert_same(results[0].scores, other.scores, 1e-13)


# --- Probabilities ---


def occluded_logits(net: cs.Network, image: Tensor, result: cs.Occlusion) -> Tensor:
    """The logits `(rows, columns, K)` with grey in each window."""
    rows, columns = result.windows.shape
    logits = []
    for row in range(rows):
        for column in range(columns):
            top, left, bottom, right = result.windows.box(row, column)
            covered = image.clone()
            covered[:, top:bottom, left:right] = 0.5
            logits.append(net.logits(covered))
    return torch.stack(logits).reshape(rows, columns, -1)


HEADS: dict[Any, Callable[[Tensor], Tensor]] = {
    "softmax": lambda z: z.exp() / z.exp().sum(-1, keepdim=True),
    "sigmoid": lambda z: 1 / (1 + (-z).exp()),
    "single-logit": lambda z: 1 / (1 + (-z).exp()),
    "none": lambda z: z,
}


@pytest.mark.parametrize("head", HEADS)
def test_probabilities_of_every_head(head: Any) -> None:
    net, image = network(convolutional(classes=1 if head == "single-logit" else 4), head=head), picture()
    result = cs.occlusion(net, image, 1, window=6, stride=5)
    assert result.probabilities is not None
    assert result.baseline_probability is not None
    assert_same(result.probabilities, HEADS[head](occluded_logits(net, image, result))[..., 1])
    assert_same(result.baseline_probability, HEADS[head](net.logits(image))[..., 1])


# --- Places that help ---


def test_rises_are_where_the_score_rises_the_largest_first() -> None:
    net, image = network(), picture()
    result = cs.occlusion(net, image, 3, window=4, stride=4)
    found = result.rises()
    rows, columns = result.windows.shape
    expected = {
        result.windows.box(row, column): float(result.scores[row, column] - result.baseline)
        for row in range(rows)
        for column in range(columns)
        if result.scores[row, column] > result.baseline
    }
    assert 0 < len(found) < rows * columns
    assert {rise.box: rise.gain for rise in found} == expected
    assert [rise.gain for rise in found] == sorted(expected.values(), reverse=True)


def test_a_planted_mark_is_what_is_missed() -> None:
    """Covering the mark is what takes its class away, and no other place."""
    known = planted()
    images = known.images[:20]
    result = cs.occlusion(known.network, images, known.target, window=4, stride=2, fill=0.0)
    assert corner_share(result.values).median() > 0.8


# --- Types ---


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("method", ["incremental", "dense"])
def test_types_are_those_of_the_network(dtype: torch.dtype, method: Method) -> None:
    net = cs.Network(convolutional().to(dtype), input_size=SIZE, mean=MEAN, std=STD)
    exact = network(net.module.double())
    image = picture().to(dtype)
    half = cs.Network(convolutional().to(dtype), input_size=SIZE, mean=MEAN, std=STD)
    half.module.load_state_dict(exact.module.state_dict())
    result = cs.occlusion(half, image, 1, window=6, stride=6, method=method)
    expected = cs.occlusion(exact, image.double(), 1, window=6, stride=6)
    assert {result.values.dtype, result.scores.dtype, result.baseline.dtype} == {dtype}
    assert_same(result.scores.double(), expected.scores, 20 * torch.finfo(dtype).eps)
    assert result.picture().width >= SIZE[1]


# --- Networks that can't be taken apart ---


class Undecided(nn.Module):
    """Its path depends on what it sees, and it writes into what it is fed."""

    def __init__(self) -> None:
        super().__init__()
        self.rest = convolutional()

    def forward(self, x: Tensor) -> Any:
        x.mul_(0.5)
        return self.rest(x if x.mean() > 0.1 else -x)


class Writing(nn.Module):
    """It writes into a part of a value in a way that has no other form, and into what it is fed."""

    def __init__(self) -> None:
        super().__init__()
        self.rest = convolutional()

    def forward(self, x: Tensor) -> Any:
        x.mul_(0.5)
        x[:, 0] += x[:, 1]
        x[:, 1] = x[:, 2] * x[:, 0]
        return self.rest(x)


@pytest.mark.parametrize("method", get_args(Method))
@pytest.mark.parametrize("module", [Undecided, Writing])
def test_what_can_not_be_taken_apart_is_run_whole(module: Callable[[], nn.Module], method: Method) -> None:
    net, image = network(module()), picture()
    result = cs.occlusion(net, image, 2, window=(6, 4), stride=(5, 5), method=method)
    scores, values = written_out(lambda x: net.score(x, 2), image, torch.full_like(image, 0.5), (6, 4), (5, 5))
    assert result.method == "dense"
    assert "dense" in result.recipe.engine
    assert ("can't be traced" in result.recipe.engine) == (module is Undecided)
    assert_same(result.scores, scores)
    assert_same(result.values, values)
    assert_same(result.baseline, net.score(image, 2))


def by_the_brightest(batch: Tensor) -> Tensor:
    """Of which every place depends on the whole image."""
    return batch / batch.amax((1, 2, 3), keepdim=True)


def squared(batch: Tensor) -> Tensor:
    return batch.square() - 0.3


def doubled(batch: Tensor) -> Tensor:
    """Fed at another size than the image has."""
    return F.interpolate(batch, scale_factor=2.0)


@pytest.mark.parametrize("method", get_args(Method))
@pytest.mark.parametrize("normalize", [by_the_brightest, squared, doubled])
@pytest.mark.parametrize("fill", ["gray", "image"])
def test_a_normalization_of_ones_own(normalize: Callable[[Tensor], Tensor], fill: Any, method: Method) -> None:
    net = cs.Network(convolutional().double(), input_size=SIZE, normalize=normalize)
    image = picture()
    image[:, 2, 3] = 1.5  # the brightest place is covered by one window only
    filled = torch.full_like(image, 0.5) if fill == "gray" else image.flip(-1)
    given: Any = "gray" if fill == "gray" else filled
    result = cs.occlusion(net, image.clamp(max=1.0), 2, window=(5, 4), stride=(4, 5), fill=given, method=method)
    scores, values = written_out(lambda x: net.score(x, 2), image.clamp(max=1.0), filled, (5, 4), (4, 5))
    assert_same(result.scores, scores)
    assert_same(result.values, values)
    assert result.method == ("dense" if normalize is doubled or method == "dense" else result.method)


def test_zero_after_a_normalization_of_ones_own() -> None:
    net = cs.Network(convolutional().double(), input_size=SIZE, normalize=squared)
    image = picture()
    root = torch.full_like(image, math.sqrt(0.3))
    result = cs.occlusion(net, image, 2, window=5, stride=4, fill="zero")
    assert_same(result.scores, written_out(lambda x: net.score(x, 2), image, root, (5, 5), (4, 4))[0])
    other = cs.Network(convolutional().double(), input_size=SIZE, normalize=doubled)
    with pytest.raises(ImageError, match="another fill"):
        cs.occlusion(other, image, 2, window=5, stride=4, fill="zero")


# --- Ways ---


def test_the_methods_agree_and_say_what_they_did() -> None:
    net, image = network(), picture()
    results = [cs.occlusion(net, image, 2, window=5, stride=3, method=method) for method in get_args(Method)]
    assert [result.method for result in results[1:]] == ["incremental", "dense"]
    for result in results:
        assert_same(result.values, results[0].values, 1e-13)
        assert result.recipe.parameters["method"] == result.method
        assert result.recipe.engine.startswith(result.method)


def test_auto_takes_what_costs_less() -> None:
    net, image = network(), picture()
    small, large = (cs.occlusion(net, image, 2, window=size, stride=9) for size in (2, SIZE))
    assert (small.method, large.method) == ("incremental", "dense")


def test_where_whole_maps_begin_is_said() -> None:
    gated = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Softmax(-1), nn.Flatten(), nn.Linear(4 * 16 * 21, 2))
    result = cs.occlusion(network(gated), picture(), 1, window=5, stride=5, method="incremental")
    assert result.recipe.engine.endswith("whole maps from softmax on")


# --- Being watched ---


@pytest.mark.parametrize("method", ["incremental", "dense"])
def test_progress_counts_windows(method: Method) -> None:
    seen: list[Progress] = []
    batch = torch.stack([picture(), picture()])
    result = cs.occlusion(network(), batch, 1, window=6, stride=4, batch=4, method=method, progress=seen.append)
    count = 2 * len(result.windows)
    assert [each.total for each in seen] == [count] * len(seen)
    done = [each.done for each in seen]
    assert done[-1] == count
    assert all(0 < later - before <= 4 for before, later in zip([0, *done], done, strict=False))


@pytest.mark.parametrize("module", [convolutional, Undecided])
@pytest.mark.parametrize("method", ["incremental", "dense"])
def test_stopping_takes_one_batch(module: Callable[[], nn.Module], method: Method) -> None:
    calls: list[int] = []

    def watcher(progress: Progress) -> bool:
        calls.append(progress.done)
        return progress.done < 9

    with pytest.raises(Cancelled, match="stopped after"):
        cs.occlusion(network(module()), picture(), 1, window=3, stride=3, batch=3, method=method, progress=watcher)
    assert calls[-1] >= 9
    assert sum(done >= 9 for done in calls) == 1


# --- Bad input ---


BAD: dict[str, tuple[dict[str, Any], type[ConvscopeError], str]] = {
    "window too high": ({"window": (19, 5)}, ImageError, r"19×5.*18×23"),
    "window too wide": ({"window": 24}, ImageError, "larger than the image"),
    "window 0": ({"window": 0}, ImageError, "window 0"),
    "window below 0": ({"window": (4, -4)}, ImageError, "window"),
    "window a float": ({"window": 4.0}, ImageError, r"4\.0.*whole numbers"),
    "window of three": ({"window": (3, 4, 4)}, ImageError, "one or two"),
    "window text": ({"window": "16"}, ImageError, "'16'"),
    "stride 0": ({"stride": 0}, ImageError, "stride 0"),
    "stride below 0": ({"stride": -2}, ImageError, "at least 1"),
    "stride a float": ({"stride": (1.5, 2)}, ImageError, "whole numbers"),
    "unknown fill": ({"fill": "grey"}, ImageError, "nearest: gray"),
    "no fill": ({"fill": None}, ImageError, "NoneType"),
    "fill of two channels": ({"fill": torch.zeros(2)}, ImageError, r"\(2,\)"),
    "fill of another size": ({"fill": torch.zeros(3, 9, 9)}, ImageError, r"\(3, 9, 9\).*\(3, 18, 23\)"),
    "fill of many": ({"fill": torch.zeros(1, 3, *SIZE)}, ImageError, "expected"),
    "fill not finite": ({"fill": math.nan}, ImageError, "finite"),
    "unknown method": ({"method": "denser"}, ImageError, "nearest: dense"),
    "unknown engine": ({"engine": "tensorflow"}, NetworkError, "known: auto, torch, onnx"),
    "engine for doubles": ({"engine": "onnx", "method": "dense"}, NetworkError, "float32"),
    "batch 0": ({"batch": 0}, ImageError, "batch=0"),
    "no targets": ({"target": []}, TargetError, "empty list"),
    "class too high": ({"target": 4}, TargetError, "0 to 3"),
    "unknown class": ({"target": "tabby"}, TargetError, "tabby"),
    "function of no number an image": ({"target": lambda out: out}, TargetError, "one number an image"),
    "image of one channel": ({"image": torch.rand(1, *SIZE)}, ImageError, "channel"),
    "image too small": ({"image": torch.rand(3, 3, 3), "window": 2}, NetworkError, r"\(3, 3, 3\)"),
    "no image": ({"image": torch.rand(*SIZE)}, ImageError, "shape"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_error(case: str) -> None:
    options, error, match = BAD[case]
    given = {"image": picture(), "target": 1, "window": 5, "stride": 5, **options}
    if case == "engine for doubles":
        pytest.importorskip("onnxruntime")
    with pytest.raises(error, match=match):
        cs.occlusion(network(), **given)


def test_a_class_of_a_network_without_classes() -> None:
    net = network(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()))
    with pytest.raises(TargetError, match="has none"):
        cs.occlusion(net, picture(), "class:1", window=5, stride=5)
    result = cs.occlusion(net, picture(), "0:1@2,2", window=5, stride=5)
    assert result.unit == "activation"


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"convscope\[onnx\]"):
        cs.occlusion(network(), picture(), 1, window=5, stride=5, engine="onnx", method="dense")


# --- Pictures ---


@pytest.mark.parametrize("style", [*get_args(Style), "probability"])
@pytest.mark.parametrize("size", [(36, 44), (60, 60)])
@pytest.mark.parametrize("count", [0, 2])
def test_every_style_is_drawn(style: OcclusionStyle, size: tuple[int, int], count: int, tmp_path: Path) -> None:
    image = torch.stack([picture(size) for _ in range(count)]) if count else picture(size)
    result = cs.occlusion(network(input_size=size), image, 1, window=9, stride=8)
    result.save(tmp_path / "map.png", style=style)
    drawn = Image.open(tmp_path / "map.png")
    assert drawn.width >= size[1] * max(count, 1)
    assert drawn.height >= size[0]
    assert np.ptp(np.asarray(drawn)) > 100


def test_a_probability_is_drawn_at_the_nearest_place() -> None:
    net, image = network(), picture()
    result = cs.occlusion(net, image, 1, window=6, stride=6)
    with pytest.raises(ImageError, match="probability"):
        cs.occlusion(net, image, "3:1", window=6, stride=6).picture(style="probability")
    with pytest.raises(ImageError, match="unknown style"):
        result.picture(style="probabilities")  # type: ignore[arg-type]


# --- Recipes ---


def test_a_recipe_says_all_that_made_it() -> None:
    net, image = network(), picture()
    plain = cs.occlusion(net, image, 1, window=6, stride=(4, 5), method="dense")
    assert plain.recipe.method == "occlusion"
    assert plain.recipe.parameters == {
        "target": "class:1", "window": 6, "stride": [4, 5], "fill": "gray", "method": "dense", "engine": "torch",
    }  # fmt: skip
    assert plain.recipe.batch is None
    assert len(plain.recipe.inputs) == 1
    filled = cs.occlusion(net, image, 1, window=6, stride=6, fill=image.flip(-1), batch=5)
    assert (filled.recipe.parameters["fill"], filled.recipe.batch) == ("image", 5)
    assert len(filled.recipe.inputs) == 2
    numbers: list[tuple[Any, Any]] = [
        (0.25, 0.25), ([0, 1, 0.5], [0, 1, 0.5]), (torch.tensor([0, 1, 0.5]), [0.0, 1.0, 0.5]),
    ]  # fmt: skip
    for given_fill, said in numbers:
        recipe = cs.occlusion(net, image, 1, window=6, stride=6, fill=given_fill).recipe
        assert recipe.parameters["fill"] == said
        assert len(recipe.inputs) == 1


def test_again_gives_the_same_map_and_that_of_another_network() -> None:
    net, other, image = network(), network(), picture()
    result = cs.occlusion(net, image, "class:1 - 3:2", window=(6, 5), stride=4, fill="mean")
    again = result.again(net, image)
    assert isinstance(again, cs.Occlusion)
    assert torch.equal(again.values, result.values)
    assert again.recipe == result.recipe
    expected = cs.occlusion(other, image, "class:1 - 3:2", window=(6, 5), stride=4, fill="mean")
    assert torch.equal(result.again(other, image).values, expected.values)
    assert not torch.allclose(expected.values, result.values)


@pytest.mark.parametrize(
    "options",
    [
        {"fill": [0.2, 0.3, 0.9], "method": "dense"},
        {"fill": "mean", "batch": 3},
        pytest.param({"engine": "onnx", "method": "dense"}, marks=pytest.mark.slow),
    ],
)
def test_a_picture_is_made_again(options: dict[str, Any], lite0: cs.Network, tmp_path: Path) -> None:
    if "engine" in options:
        pytest.importorskip("onnxruntime")
    image = lite0.prepare(cs.read_image("chelsea"))
    result = cs.occlusion(lite0, image, "tiger cat", window=(112, 96), stride=112, **options)
    result.save(tmp_path / "map.png", style="probability")
    assert cs.redo(tmp_path / "map.png", tmp_path / "again.png") == ()
    assert (tmp_path / "map.png").read_bytes() == (tmp_path / "again.png").read_bytes()


# --- Laws ---


def shifted(module: nn.Sequential, by: float) -> nn.Sequential:
    linear = module[-1]
    assert isinstance(linear, nn.Linear)
    with torch.no_grad():
        linear.bias.add_(by)
    return module


@given(st.integers(0, 2**31), st.floats(-50, 50), st.integers(1, 18), st.integers(1, 30))
@settings(max_examples=15, deadline=None)
def test_adding_a_constant_to_the_logits_changes_no_value(seed: int, by: float, window: int, stride: int) -> None:
    torch.manual_seed(seed)
    module, image = convolutional(), picture()
    before = cs.occlusion(network(module), image, 1, window=window, stride=max(4, stride))
    after = cs.occlusion(network(shifted(module, by)), image, 1, window=window, stride=max(4, stride))
    assert_same(before.values, after.values, 1e-12)
    assert_same(before.scores + by, after.scores, 1e-12)


@given(st.integers(0, 2**31), st.integers(1, 18), st.integers(3, 30), st.sampled_from(["incremental", "dense"]))
@settings(max_examples=15, deadline=None)
def test_a_window_filled_with_what_is_there_changes_nothing(
    seed: int, window: int, stride: int, method: Method
) -> None:
    torch.manual_seed(seed)
    image = picture()
    result = cs.occlusion(network(), image, 1, window=window, stride=stride, fill=image, method=method)
    assert result.values.abs().max() <= 1e-14
    assert result.rises() == [] or max(rise.gain for rise in result.rises()) <= 1e-14


@given(st.integers(1, 40), st.integers(1, 40), st.data())
@settings(max_examples=100, deadline=None)
def test_the_places_of_the_window(length: int, stride: int, data: st.DataObject) -> None:
    """All lie on the image, each further than the last by the stride, as many as Captum has where it has them."""
    size = data.draw(st.integers(1, length))
    places = Places.along(length, size=size, stride=stride)
    assert all(0 <= start < stop <= length for start, stop in zip(places.starts, places.stops, strict=True))
    assert list(places.starts) == [index * stride for index in range(len(places))]
    if stride <= size:
        assert len(places) == math.ceil((length - size) / stride) + 1
        assert places.stops[-1] == length


def test_a_window_over_the_whole_image_has_one_place() -> None:
    net, image = network(), picture()
    result = cs.occlusion(net, image, 1, window=SIZE, stride=3)
    assert result.scores.shape == (1, 1)
    grey = torch.full_like(image, 0.5)
    assert_same(result.values, (net.score(image, 1) - net.score(grey, 1)).expand(SIZE))
