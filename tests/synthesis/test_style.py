"""Style: the loss is its definition, every option does what it says, and what is made can be made again."""

import functools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.synthesis.networks import small
from torch import Tensor, nn

import convscope as cs
from convscope.errors import Cancelled, ConvscopeError, LayerError, StepFailed
from convscope.image.write import read_recipe
from convscope.synthesis.colour_kept import luminance
from convscope.synthesis.objectives import gram
from convscope.synthesis.objectives.statistics import STATISTICS, weighted_gram
from convscope.synthesis.style import PRESETS, Style, style
from convscope.synthesis.style_loss import at_layer
from convscope.synthesis.style_options import layer_weights, scale_sizes

LAYERS = {"content_layers": "4", "style_layers": ["0", "4"]}


def image(seed: int, rows: int = 16, columns: int = 20) -> Tensor:
    """Coarse random patches, with something to be seen at any scale."""
    patches = torch.rand(1, 3, 4, 5, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(patches, (rows, columns))[0]


CONTENT, NIGHT, SCREAM = image(1), image(2, 18, 14), 0.5 * image(3)
LEFT = (torch.arange(20) < 10).float().expand(16, 20)
MASKS = [LEFT, 1 - LEFT]


@functools.cache
def pooling() -> cs.Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        module = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()
        )
    return cs.Network(module, input_size=16, head="none")


def made(styles: Any = NIGHT, *, content: Tensor = CONTENT, network: cs.Network | None = None, **options: Any) -> Style:
    return style(network or small(), content, styles, **{**LAYERS, "steps": 4, "sizes": [10, 20], **options})


def slowly(
    picture: Tensor, styles: list[Tensor], shares: list[float], masks: list[Tensor | None]
) -> tuple[float, float]:
    """The content and the style term of a picture, by their definitions."""
    code, own = (small().capture(each, ["0", "4"]) for each in (picture, CONTENT))
    content = float((code["4"] - own["4"]).square().sum() / own["4"].square().sum())
    total = 0.0
    for one, share, mask in zip(styles, shares, masks, strict=True):
        for name, features in small().capture(one, ["0", "4"]).items():
            wanted = gram(features[None])[0]
            places = None if mask is None else at_layer(mask, code[name])
            found = weighted_gram(code[name][None], places)[0]
            total += share * float((found - wanted).square().sum() / wanted.square().sum()) / 2
    return content, total


def test_what_is_told_is_true_of_the_file(tmp_path: Path) -> None:
    result = made()
    result.save(tmp_path / "one.png")
    again = cs.read_image(tmp_path / "one.png")
    assert torch.equal(again, result.image)
    content, style_term = slowly(again, [NIGHT], [1.0], [None])
    assert result.losses["content"] == pytest.approx(content, rel=1e-3)
    assert result.losses["style"] == pytest.approx(style_term, rel=1e-3)
    down, right = again.diff(dim=1, append=again[:, -1:]), again.diff(dim=2, append=again[:, :, -1:])
    assert result.losses["tv"] == pytest.approx(float((down**2 + right**2).mean()), rel=1e-3)
    assert result.caption.startswith("content error 0.")
    assert read_recipe(tmp_path / "one.png").method == "style"


def test_several_styles_and_regions_by_their_definition() -> None:
    mixed = made([NIGHT, SCREAM], weights=[3, 1])
    assert mixed.losses["style"] == pytest.approx(
        slowly(mixed.image, [NIGHT, SCREAM], [0.75, 0.25], [None] * 2)[1], rel=1e-3
    )
    soft = torch.linspace(0, 1, 20).expand(16, 20)
    regions = made([NIGHT, SCREAM], masks=[soft, (1 - soft).expand(3, 16, 20)], weights=[3, 1])
    expected = slowly(regions.image, [NIGHT, SCREAM], [0.75, 0.25], [soft, 1 - soft])[1]
    assert regions.losses["style"] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("statistics", STATISTICS)
def test_the_loss_falls_at_each_scale(preset: str, statistics: str) -> None:
    result = made(preset=preset, statistics=statistics, steps=25)
    assert [curve.size for curve in result.curves] == [(8, 10), (16, 20)]
    assert result.values.shape == (50, 1)
    for index, curve in enumerate(result.curves):
        loss = -result.values[25 * index : 25 * (index + 1), 0]
        torch.testing.assert_close(loss, curve.content + 10 * curve.style + curve.tv, rtol=1e-4, atol=1e-5)
        assert float(loss[-1]) < 0.8 * float(loss[0])


def test_it_is_nearer_to_the_style_than_the_content_was_and_to_the_content_than_the_style_was() -> None:
    result = made(steps=40)
    content, own = slowly(CONTENT, [NIGHT], [1.0], [None]), slowly(result.image, [NIGHT], [1.0], [None])
    assert own[1] < 0.3 * content[1]
    noise = made(start="noise", content_weight=0, steps=40)
    assert result.losses["content"] < 0.7 * noise.losses["content"]


@pytest.mark.parametrize(
    "option",
    [
        {"content_weight": 5}, {"style_weight": 2}, {"tv": 50}, {"content_layers": "0"}, {"style_layers": ["0"]},
        {"style_layers": {"0": 3, "4": 1}}, {"style_scale": 0.6}, {"colour": "luminance"}, {"colour": "matched"},
        {"dream": "4"}, {"smoothing": True}, {"start": "style"}, {"start": "noise"},
        {"start": image(5)}, {"sizes": [20]},
        {"preset": "adam"}, {"parameterization": "pixels"}, {"optimizer": "lbfgs:0.5"}, {"schedule": "linear"},
        {"steps": 5},
        *({"statistics": name} for name in STATISTICS if name != "gram"),
    ],
)  # fmt: skip
def test_every_option_counts(option: dict[str, Any]) -> None:
    assert not torch.equal(made(**option).images, made().images)


def test_every_option_counts_of_networks_that_pool_and_of_dreams_and_noise() -> None:
    layers: dict[str, Any] = {"style_layers": ["1", "4"], "network": pooling()}
    assert not torch.equal(made(**layers, pooling="average").images, made(**layers).images)
    assert not torch.equal(made(dream="4", dream_weight=1).images, made(dream="4").images)
    assert not torch.equal(made(start="noise", seed=1).images, made(start="noise").images)
    assert not torch.equal(made([NIGHT, SCREAM], masks=MASKS).images, made([NIGHT, SCREAM]).images)


def test_a_style_without_weight_does_not_count() -> None:
    alone = made(NIGHT).images
    assert torch.equal(made([NIGHT, SCREAM], weights=[1, 0]).images, alone)
    assert torch.equal(made([SCREAM, NIGHT], weights=[0, 2]).images, alone)
    assert not torch.equal(made([NIGHT, SCREAM]).images, alone)


def test_each_region_comes_to_have_its_style() -> None:
    dark, light = torch.full((3, 12, 12), 0.1), torch.full((3, 12, 12), 0.9)
    result = made([dark, light], masks=MASKS, steps=40, content_weight=0.1)
    shown = result.image.mean(dim=0)
    assert float(shown[:, :10].mean()) < 0.3
    assert float(shown[:, 10:].mean()) > 0.7


def test_black_and_white_can_be_left() -> None:
    white, grey = torch.ones(3, 16, 20), torch.full((3, 16, 20), 0.4)
    result = made(grey, content=white, content_weight=0, preset="adam", steps=15)
    assert float(result.image.mean()) < 0.95


def test_more_weight_more_of_it() -> None:
    results = [made(style_weight=weight, steps=25) for weight in (0.1, 1, 100)]
    styles, contents = ([each.losses[name] for each in results] for name in ("style", "content"))
    assert styles == sorted(styles, reverse=True)
    assert contents == sorted(contents)
    assert made(tv=100, steps=25).losses["tv"] < made(tv=0, steps=25).losses["tv"]


def test_dreams_raise_the_layer() -> None:
    def energy(result: Style) -> float:
        return float(small().capture(result.image, ["4"])["4"].square().mean())

    plain, dreamt = made(steps=20), made(steps=20, dream="4", dream_weight=2)
    assert energy(dreamt) > energy(plain)
    own = small().capture(CONTENT, ["4"])["4"].square().mean()
    assert dreamt.losses["dream"] == pytest.approx(math.log(energy(dreamt) / float(own)), rel=1e-3)


def test_luminance_keeps_the_chroma() -> None:
    result = made(colour="luminance", steps=15)
    chroma, own = (each - luminance(each) for each in (result.image, CONTENT))
    # Files hold steps of 1/255.
    assert float((chroma - own).abs().max()) < 1.01 / 255
    assert float((luminance(result.image) - luminance(CONTENT)).abs().max()) > 0.1
    with pytest.raises(Cancelled) as stopped:
        made(colour="luminance", progress=lambda progress: progress.done < 6)
    chroma = stopped.value.so_far[0] - luminance(stopped.value.so_far[0])
    torch.testing.assert_close(chroma, own, rtol=0, atol=1e-4)


def test_matched_keeps_the_mean_colour() -> None:
    reddish = NIGHT * torch.tensor([1.0, 0.1, 0.1])[:, None, None]
    means = [made(reddish, colour=colour, steps=25).image.mean(dim=(1, 2)) for colour in ("style", "matched")]
    own = CONTENT.mean(dim=(1, 2))
    assert float((means[1] - own).norm()) < 0.3 * float((means[0] - own).norm())


def test_the_recipe_makes_it_again() -> None:
    start = image(7, 9, 9)
    result = made([NIGHT, SCREAM], masks=MASKS, weights=[2, 1], start=start, dream="4", colour="matched", seed=3)
    told = {**result.recipe.parameters, "masks": MASKS, "start": start, "seed": result.recipe.seed}
    assert torch.equal(style(small(), CONTENT, [NIGHT, SCREAM], **told).images, result.images)  # type: ignore[arg-type]
    assert (result.recipe.parameters["masks"], result.recipe.parameters["start"]) == (2, "image")
    assert len(result.recipe.inputs) == 6
    assert torch.equal(made(seed=1).images, made(seed=2).images)


def test_sizes() -> None:
    assert made(steps=1, sizes=None).image.shape == (3, 16, 20)
    assert made(steps=1, sizes=[20, 10]).image.shape == (3, 8, 10)
    assert made(torch.rand(3, 4, 4), content=torch.rand(3, 1, 1), steps=1, sizes=None).image.shape == (3, 1, 1)
    content = torch.zeros(3, 300, 400)
    assert scale_sizes(content, None) == [(75, 100), (150, 200), (300, 400)]
    assert scale_sizes(content, None, finest_only=True) == [(300, 400)]


def test_progress_and_stopping() -> None:
    seen: list[tuple[int, int, tuple[int, ...]]] = []
    made(progress=lambda each: seen.append((each.done, each.total, tuple(each.preview.shape))))
    assert [each[:2] for each in seen] == [(index, 8) for index in range(1, 9)]
    assert [each[2] for each in seen] == [(1, 3, 8, 10)] * 4 + [(1, 3, 16, 20)] * 4
    with pytest.raises(Cancelled) as stopped:
        made(progress=lambda progress: progress.done < 6)
    assert stopped.value.so_far.shape == (1, 3, 16, 20)


def test_what_was_good_last_is_kept_when_a_step_fails() -> None:
    with pytest.raises(StepFailed, match="no number") as failed:
        made(style_weight=math.inf)
    assert failed.value.so_far.shape == (1, 3, 8, 10)


def test_the_usual_layers(lite0: cs.Network) -> None:
    assert list(layer_weights(lite0, "style", None)) == ["blocks.0", "blocks.2", "blocks.4", "blocks.10", "head.norm"]
    assert layer_weights(lite0, "content", None) == {"blocks.4": 1.0}
    assert layer_weights(small(), "style", {"0": 3, "4": 1}) == {"0": 0.75, "4": 0.25}
    from convscope.network.zoo.vgg16_hed import VGG16Features

    vgg = cs.Network(VGG16Features(), input_size=32, head="none")
    assert layer_weights(vgg, "content", None) == {"relu4_2": 1.0}
    assert list(layer_weights(vgg, "style", None)) == ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"styles": []}, "got no style"),
        ({"styles": [NIGHT, SCREAM], "weights": [1]}, "got 1 weights for 2 styles"),
        ({"weights": [-1]}, "expected none below 0"),
        ({"weights": [math.nan]}, "expected none below 0"),
        ({"weights": []}, "got 0 weights for 1 styles"),
        ({"tile": 2}, "got tile=2, expected at least"),
        ({"style_layers": {"0": -1}}, "expected none below 0"),
        ({"styles": [NIGHT, SCREAM], "masks": MASKS[:1]}, "got 1 masks for 2 styles"),
        ({"masks": [LEFT[:, :5]]}, "expected the content's size, 16 × 20"),
        ({"masks": [LEFT * 0]}, "some of them above 0"),
        ({"masks": [LEFT * 255]}, r"values in \[0, 1\]"),
        ({"style_layers": ["nought"]}, "no layer 'nought'"),
        ({"style_layers": ["6"]}, "has no places"),
        ({"style_layers": []}, "no layers to compare the style at"),
        ({"content_layers": "nought"}, "no layer 'nought'"),
        ({"dream": "nought"}, "no layer 'nought'"),
        ({"statistics": "gramm"}, "nearest: gram"),
        ({"pooling": "mean"}, "nearest: max"),
        ({"pooling": "average"}, "no max pooling"),
        ({"colour": "color"}, "no colour 'color'"),
        ({"style_scale": 0}, "got a scale of 0"),
        ({"start": "nowhere"}, "no start 'nowhere'"),
        ({"preset": "fin"}, "nearest: fine"),
        ({"sizes": []}, r"got sizes=\[\]"),
        ({"sizes": 0}, r"got sizes=\[0\]"),
        ({"sizes": 400000}, "are free"),
        ({"steps": 0}, "got steps=0"),
        ({"content": torch.rand(2, 3, 16, 20)}, "for the content, expected one image"),
        ({"styles": torch.full((3, 16, 16), math.nan)}, "NaN or infinity in style 1"),
        ({"content": torch.rand(1, 16, 20)}, "got an image of 1 channels"),
    ],
)
def test_errors_say_what_to_do(change: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConvscopeError, match=expected):
        made(**{"steps": 2, **change})


def test_colours_are_kept_of_colour_pictures_only() -> None:
    grey = cs.Network(nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU()), input_size=16, channels=1, head="none")
    one = torch.rand(1, 16, 16)
    assert style(grey, one, one, content_layers="1", style_layers="1", steps=1).image.shape == (1, 16, 16)
    with pytest.raises(ConvscopeError, match="expected 3 channels"):
        style(grey, one, one, content_layers="1", style_layers="1", colour="luminance", steps=1)


def test_a_network_of_vectors_has_no_layers_to_take() -> None:
    net = cs.Network(nn.Sequential(nn.Flatten(), nn.Linear(48, 4), nn.ReLU()), input_size=4)
    with pytest.raises(LayerError, match="no layers to compare"):
        style(net, torch.rand(3, 4, 4), torch.rand(3, 4, 4))
