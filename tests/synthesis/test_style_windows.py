"""Style in windows: the loss, its terms and its gradient are those of the whole picture."""

import functools
from typing import Any

import pytest
import torch
from tests.synthesis.test_exact_windows import Gated, pools
from tests.synthesis.test_style import image
from torch import Tensor, nn

import convscope as cs
from convscope.errors import NetworkError
from convscope.network.average_pooling import AveragePooled
from convscope.network.differentiable import Differentiable
from convscope.network.memory import bytes_needed
from convscope.synthesis import exact_windows
from convscope.synthesis.exact_windows import ExactWindows
from convscope.synthesis.objectives import Seen
from convscope.synthesis.objectives.statistics import STATISTICS
from convscope.synthesis.objectives.summed import SUMMED
from convscope.synthesis.style import style
from convscope.synthesis.style_loss import Plan, StyleLoss
from convscope.synthesis.style_options import layer_weights
from convscope.synthesis.windowed_style import WindowedStyleLoss

LAYERS = {"content_layers": "4", "style_layers": ["1", "4", "6"]}
CONTENT, NIGHT, SCREAM = image(1, 41, 57), image(2, 38, 44), 0.5 * image(3, 29, 60)
SOFT = torch.linspace(0, 1, 57).expand(41, 57)


@functools.cache
def network() -> cs.Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return cs.Network(pools().double(), input_size=32, head="none")


def plan(**changes: Any) -> Plan:
    usual: dict[str, Any] = {
        "content_layers": {"4": 0.75, "1": 0.25}, "style_layers": {"1": 0.5, "4": 0.2, "6": 0.3},
        "weights": (0.75, 0.25), "content_weight": 1.5, "style_weight": 7.0, "tv": 2.0, "dream": None,
        "dream_weight": 3.0, "statistics": "gram", "style_scale": 1.0, "colour": "style",
    }  # fmt: skip
    return Plan(**{**usual, **changes})


def whole(net: cs.Network, loss: StyleLoss, picture: Tensor) -> tuple[Tensor, Tensor]:
    """The loss and its gradient, of the whole picture at once."""
    objective, leaf = loss.objective(), picture[None].clone().requires_grad_()
    run = Differentiable(net, (3, *picture.shape[1:]), layers=objective.layers, whole=False)
    value = -objective.value(Seen(leaf, run(leaf)))
    (gradient,) = torch.autograd.grad(value.sum(), leaf)
    return value.detach()[0], gradient[0]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("statistics", STATISTICS)
def test_the_loss_and_its_gradient_are_those_of_the_whole(statistics: str, masked: bool) -> None:
    asked = plan(statistics=statistics, dream="4")
    picture, content, *styles = (each.double() for each in (image(9, 41, 57), CONTENT, NIGHT, SCREAM))
    masks = torch.stack([SOFT, 1 - SOFT]) if masked else None
    expected, windowed = (
        StyleLoss(network(), asked, content, styles, masks),
        WindowedStyleLoss(ExactWindows(network(), asked.layers, 36), asked, content, styles, masks),
    )
    value, gradient = whole(network(), expected, picture)
    found, slope = windowed.value_and_gradient(picture)
    torch.testing.assert_close(found, value, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(slope, gradient, rtol=1e-8, atol=1e-8 * float(gradient.abs().max()))
    assert windowed.terms == pytest.approx(expected.terms, rel=1e-8)
    windowed.measure(content[None])
    expected.measure(content[None])
    assert windowed.terms == pytest.approx(expected.terms, rel=1e-8, abs=1e-8)


def test_several_styles_by_the_same_sums_and_averages() -> None:
    net, asked = AveragePooled(network()), plan(statistics="covariance")
    content, *styles = (each.double() for each in (CONTENT, NIGHT, SCREAM))
    value, gradient = whole(net, StyleLoss(net, asked, content, styles, None), styles[0].mean() * content)
    windows = ExactWindows(net, asked.layers, 36)
    found, slope = WindowedStyleLoss(windows, asked, content, styles, None).value_and_gradient(
        styles[0].mean() * content
    )
    torch.testing.assert_close(found, value, rtol=1e-8, atol=0)
    torch.testing.assert_close(slope, gradient, rtol=1e-8, atol=1e-8 * float(gradient.abs().max()))


@pytest.mark.parametrize("name", STATISTICS)
@pytest.mark.parametrize("weighted", [False, True])
def test_statistics_of_sums_of_pieces_are_those_of_the_whole(name: str, weighted: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    features = 5 + torch.randn(4, 6, 7, generator=generator, dtype=torch.float64)
    weights = torch.rand(6, 7, generator=generator, dtype=torch.float64) if weighted else None
    shift, summed = torch.rand(4, generator=generator, dtype=torch.float64), SUMMED[name]
    pieces = [slice(0, 2), slice(2, 5), slice(5, 7)]
    sums = [summed.sums(features[..., at], None if weights is None else weights[:, at], shift) for at in pieces]
    total = 42 if weights is None else float(weights.sum())
    found = summed.described(tuple(torch.stack(each).sum(dim=0) / total for each in zip(*sums, strict=True)), shift)
    for one, other in zip(found, STATISTICS[name].described(features[None], weights), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(
    "option", [{}, {"colour": "luminance", "preset": "adam"}, {"masks": [SOFT, 1 - SOFT], "dream": "6"}]
)
def test_the_picture_is_the_same_in_windows(option: dict[str, Any]) -> None:
    options: dict[str, Any] = {**LAYERS, "steps": 3, "sizes": [30, 57], **option}
    expected = style(network(), CONTENT, [NIGHT, SCREAM], **options)
    result = style(network(), CONTENT, [NIGHT, SCREAM], tile=36, **options)
    torch.testing.assert_close(result.images, expected.images, rtol=0, atol=1.1 / 255)
    torch.testing.assert_close(result.values, expected.values, rtol=1e-6, atol=1e-8)
    assert result.losses == pytest.approx(expected.losses, rel=1e-2)
    assert (result.recipe.parameters["tile"], expected.recipe.parameters["tile"]) == (36, None)


def test_windows_where_the_whole_would_need_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {**LAYERS, "steps": 2, "sizes": [57]}
    needed = bytes_needed(network(), (3, 41, 57), 1, layers=("1", "4", "6"))
    for name, limit in (("_WHOLE", needed - 1), ("_WINDOW", needed), ("_CORE", 0.1)):
        monkeypatch.setattr(exact_windows, name, limit)
    result = style(network(), CONTENT, NIGHT, **options)
    tile = result.recipe.parameters["tile"]
    assert isinstance(tile, int)
    assert tile < 57
    told: dict[str, Any] = {**result.recipe.parameters, "masks": None}
    assert torch.equal(style(network(), CONTENT, NIGHT, **told).images, result.images)


def test_what_cannot_be_seen_in_windows_says_so() -> None:
    gated = cs.Network(Gated(), input_size=16, head="none")
    layers: dict[str, Any] = {"content_layers": "mul", "style_layers": "mul", "steps": 1}
    with pytest.raises(NetworkError, match="leave tile out"):
        style(gated, CONTENT, NIGHT, tile=32, **layers)
    both: dict[str, Any] = {**LAYERS, "tile": 36, "smoothing": True}
    with pytest.raises(NetworkError, match="leave tile out, or smoothing"):
        style(network(), CONTENT, NIGHT, **both)
    with pytest.raises(NetworkError, match="are free"):
        style(gated, CONTENT, NIGHT, sizes=[400_000], **layers)


def test_what_the_optimizer_remembers_is_counted() -> None:
    options: dict[str, Any] = {**LAYERS, "sizes": [4000], "tile": 400, "steps": 10_000}
    with pytest.raises(NetworkError, match="are free"):
        style(network(), CONTENT, NIGHT, optimizer="lbfgs:1,history=10000", **options)


@pytest.mark.slow  # VGG-16 on a picture of several windows
def test_of_vgg_in_single_precision() -> None:
    from convscope.network.zoo.vgg16_hed import VGG16Features, normalize

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = VGG16Features()
        for each in module.modules():
            if isinstance(each, nn.Conv2d):
                nn.init.kaiming_normal_(each.weight)
    net = cs.Network(module, input_size=64, normalize=normalize, head="none")
    layers = {f"{of}_layers": layer_weights(net, of, None) for of in ("content", "style")}
    asked = plan(**layers, weights=(1.0,))
    content, example = cs.read_image("coffee", 180), cs.read_image("brick", 150)
    picture = 0.5 * content + 0.25
    value, gradient = whole(net, StyleLoss(net, asked, content, [example], None), picture)
    windowed = WindowedStyleLoss(ExactWindows(net, asked.layers, 144), asked, content, [example], None)
    found, slope = windowed.value_and_gradient(picture)
    assert float(found) == pytest.approx(float(value), rel=1e-5)
    assert float((slope - gradient).norm()) < 1e-4 * float(gradient.norm())
