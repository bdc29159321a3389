"""Segmentation: seeds by their slow definition, objects that are known, a cat, and what gives no object."""

import math
import sys
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import convscope as cs
from convscope.attribution.attribution import Attribution
from convscope.attribution.seeds import seeds, smoothed
from convscope.attribution.segment import Segmentation, Style
from convscope.errors import ImageError, MissingExtra
from convscope.image.recipe import Recipe
from convscope.image.write import read_recipe

# --- Seeds ---


def slow_seeds(values: list[float], foreground: float, background: float) -> tuple[list[bool], list[bool]]:
    """Pixel by pixel: surely the object if it and all its equals are among the largest, and so for the smallest."""
    count = len(values)
    largest, smallest = math.ceil(foreground * count), math.floor(background * count)
    inside = [sum(other >= value for other in values) <= largest for value in values]
    if not any(inside):
        # The tie across the border can't come in without exceeding it; what is above it would have. So it is the top.
        inside = [value == max(values) for value in values]
    return inside, [sum(other <= value for other in values) <= smallest for value in values]


@given(
    st.lists(st.integers(-4, 4), min_size=2, max_size=40).filter(lambda values: len(set(values)) > 1),
    st.floats(0.01, 0.5),
    st.floats(0.01, 0.5),
)
def test_seeds_are_those_of_the_definition(values: list[int], foreground: float, background: float) -> None:
    found = seeds(torch.tensor([values]).double() * 0.1, foreground=foreground, background=background)
    inside, outside = slow_seeds([float(value) for value in values], foreground, background)
    assert found.foreground[0].tolist() == inside
    assert found.background[0].tolist() == outside


def test_a_map_without_ties_gives_just_these_fractions() -> None:
    values = torch.randperm(10_000).reshape(100, 100).double()
    found = seeds(values, foreground=0.05, background=0.30)
    assert found.foreground.sum() == 500
    assert found.background.sum() == 3000
    assert values[found.foreground].min() == 9500
    assert values[found.background].max() == 2999


def test_a_map_that_is_zero_nearly_everywhere_has_no_sure_background() -> None:
    values = torch.zeros(20, 20)
    values[3:5, 3:5] = 1.0
    found = seeds(values, foreground=0.05, background=0.30)
    assert torch.equal(found.foreground, values > 0)
    assert not found.background.any()


def test_only_what_was_seen_is_counted() -> None:
    values = torch.arange(100.0).reshape(10, 10)
    among = values < 50
    found = seeds(values, foreground=0.1, background=0.2, among=among)
    assert values[found.foreground].tolist() == [45, 46, 47, 48, 49]
    assert values[found.background].tolist() == list(range(10))


@pytest.mark.parametrize("fractions", [(0.0, 0.3), (0.05, 0.0), (0.7, 0.4), (1.0, 0.1)])
def test_fractions_that_leave_nothing_are_refused(fractions: tuple[float, float]) -> None:
    with pytest.raises(ImageError, match="fractions above 0, together at most 1"):
        seeds(torch.rand(8, 8), foreground=fractions[0], background=fractions[1])


def test_maps_that_say_nothing_are_refused() -> None:
    with pytest.raises(ImageError, match="everywhere"):
        seeds(torch.full((8, 8), 0.3), foreground=0.05, background=0.3)
    with pytest.raises(ImageError, match="everywhere"):
        seeds(smoothed(torch.full((8, 8), 0.3), 1.5), foreground=0.05, background=0.3)
    with pytest.raises(ImageError, match="NaN"):
        seeds(torch.tensor([[0.0, torch.nan]]), foreground=0.05, background=0.3)


def test_smoothing_is_a_mirrored_gaussian() -> None:
    from scipy.ndimage import gaussian_filter

    values = torch.randn(17, 29, dtype=torch.float64)
    expected = gaussian_filter(values.numpy(), 1.3, mode="mirror", truncate=3.0)
    # Cut off at a whole pixel, here and there.
    assert np.abs(smoothed(values, 1.3).numpy() - expected).max() < 1e-3
    assert torch.equal(smoothed(values, 0), values)
    assert smoothed(torch.rand(2, 1), 5.0).shape == (2, 1)


# --- Objects that are known ---


def attribution(values: Tensor, image: Tensor) -> Attribution:
    recipe = Recipe(method="none", parameters={}, network=None, weights=None, threads=1, version="0")
    return Attribution(values, image, "target", recipe, "logit", lambda network, image: attribution(values, image))


def scene(seed: int, *, size: int = 96) -> tuple[Tensor, Tensor, Tensor]:
    """An image of a mottled ellipse on other mottled ground, where it is, and a map of a part of it with speckles."""
    draw = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.linspace(-1, 1, size), torch.linspace(-1, 1, size), indexing="ij")
    centre, radii = torch.rand(2, generator=draw) * 0.5 - 0.25, torch.rand(2, generator=draw) * 0.25 + 0.35
    far = ((y - centre[0]) / radii[0]) ** 2 + ((x - centre[1]) / radii[1]) ** 2
    truth = far < 1
    colours = torch.tensor([[0.75, 0.35, 0.2], [0.2, 0.45, 0.55]])
    image = torch.where(truth, colours[0][:, None, None], colours[1][:, None, None])
    image = (image + 0.08 * torch.randn(3, size, size, generator=draw)).clamp(0, 1)
    values = torch.exp(-2 * far) * torch.rand(size, size, generator=draw)
    return image, truth, values


@pytest.mark.parametrize("seed", range(4))
def test_an_object_is_found_by_a_part_of_it(seed: int) -> None:
    image, truth, values = scene(seed)
    result = cs.segment(image, attribution(values, image))
    assert result.mask.dtype == torch.bool
    assert result.iou(truth) > 0.9
    rows, columns = truth.any(1).nonzero()[:, 0], truth.any(0).nonzero()[:, 0]
    expected = (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1)
    assert all(abs(one - int(other)) <= 4 for one, other in zip(result.box, expected, strict=True))


def test_the_sign_counts_in_maps_of_places_and_magnitude_in_those_of_colours() -> None:
    image, truth, values = scene(1)
    signed = torch.where(truth, values, -values) * 3 + torch.where(truth, 0.0, -1.0)
    assert cs.segment(image, attribution(signed, image)).iou(truth) > 0.9
    derivative = torch.stack([values, -values, values * 0])
    assert cs.segment(image, attribution(derivative, image)).iou(truth) > 0.9
    assert cs.segment(image, attribution(-derivative, image), reduction="l2").iou(truth) > 0.9


def test_a_batch_is_its_images() -> None:
    images, truths, maps = (torch.stack(each) for each in zip(*map(scene, range(3)), strict=True))
    together = cs.segment(images, attribution(maps, images))
    assert together.mask.shape == (3, 96, 96)
    assert together.cutout.shape == (3, 4, 96, 96)
    assert (together.iou(truths) > 0.9).all()
    for index, (image, values) in enumerate(zip(images, maps, strict=True)):
        alone = cs.segment(image, attribution(values, image))
        assert torch.equal(together.mask[index], alone.mask)
        assert together.boxes[index] == alone.box
    with pytest.raises(ImageError, match="boxes"):
        _ = together.box


def test_only_the_largest_part_is_kept() -> None:
    image, truth, values = scene(0)
    image = torch.cat([image, image[:, :30]], dim=1)
    values = torch.cat([values, values[:30]])
    mask = cs.segment(image, attribution(values, image)).mask
    assert mask[:96].any()
    assert not mask[100:].any()
    assert Segmentation(mask, image, None).iou(torch.cat([truth, truth[:30] & False])) > 0.85  # type: ignore[arg-type]


def test_the_same_twice_and_opencvs_generator_is_left_alone() -> None:
    cv2 = pytest.importorskip("cv2")
    image, _, values = scene(2)

    def drawn() -> list[float]:
        numbers = np.zeros((1, 4))
        cv2.randu(numbers, 0, 1)
        return numbers.ravel().tolist()

    cv2.setRNGSeed(5)
    expected = drawn(), drawn()
    cv2.setRNGSeed(5)
    first = drawn()
    one = cs.segment(image, attribution(values, image), seed=3)
    assert (first, drawn()) == expected
    drawn()
    other = cs.segment(image, attribution(values, image), seed=3)
    assert torch.equal(one.mask, other.mask)


@pytest.mark.parametrize("shape", [(1, 40, 60), (3, 500, 700), (5, 40, 40), (3, 4, 5)])
def test_images_of_every_kind(shape: tuple[int, ...]) -> None:
    image = torch.rand(shape) * 0.2
    height, width = shape[-2:]
    image[:, : height // 2, : width // 2] += 0.7
    values = torch.zeros(height, width)
    values[: height // 4 + 1, : width // 4 + 1] = torch.rand(height // 4 + 1, width // 4 + 1) + 1
    result = cs.segment(image, attribution(values, image))
    assert result.mask.shape == (height, width)
    for style in get_args(Style):
        assert result.picture(style=style).width >= width


# --- A photograph ---


@pytest.fixture(scope="module")
def photograph() -> Tensor:
    return cs.read_image("chelsea")


def test_a_photograph_at_its_own_size(lite0: cs.Network, photograph: Tensor) -> None:
    image = lite0.prepare(photograph)
    why = cs.saliency(lite0, image, "tiger cat")
    small, large = cs.segment(image, why), cs.segment(photograph, why, network=lite0)
    assert small.mask.shape == (224, 224)
    assert large.mask.shape == photograph.shape[1:]
    top, left, bottom, right = large.box
    assert 0 <= top < bottom <= 300
    assert 0 <= left < right <= 451


def test_a_cats_face_is_found(lite0: cs.Network, photograph: Tensor) -> None:
    """It fills the photograph, of which nearly a third is surely background: so half of it is much."""
    mask = cs.segment(photograph, cs.grad_cam(lite0, lite0.prepare(photograph), "tiger cat"), network=lite0).mask
    face = torch.zeros_like(mask)
    face[80:280, 100:350] = True
    assert (mask & face).sum() > 0.3 * face.sum()
    assert (mask & face).sum() > 0.95 * mask.sum()
    assert mask[250, 270]  # the nose


def test_a_map_of_another_image_is_refused(lite0: cs.Network, photograph: Tensor) -> None:
    why = cs.saliency(lite0, lite0.prepare(photograph), "tiger cat")
    with pytest.raises(ImageError, match=r"expected \(300, 451\).*network="):
        cs.segment(photograph, why)
    image, _, values = scene(0)
    with pytest.raises(ImageError, match=r"expected \(224, 224\)"):
        cs.segment(image, attribution(values, image), network=lite0)


# --- Its pictures and its recipe ---


def test_pictures() -> None:
    image, truth, values = scene(3)
    result = cs.segment(image, attribution(values, image))
    mask = np.asarray(result.picture(style="mask"))
    assert np.array_equal(mask > 127, result.mask.numpy())
    cutout = result.picture(style="cutout")
    assert cutout.mode == "RGBA"
    assert np.array_equal(np.asarray(cutout)[..., 3], mask)
    assert torch.equal(result.cutout[3] > 0, result.mask)
    assert torch.equal(result.cutout[:3], image)
    outline = np.asarray(result.picture()).astype(int)
    assert not np.array_equal(outline, np.asarray(cutout.convert("RGB")))
    assert result.picture(style="beside").width > 3 * 96
    with pytest.raises(ImageError, match="unknown style 'outlin'; nearest: outline"):
        result.picture(style="outlin")  # type: ignore[arg-type]
    with pytest.raises(ImageError, match="true mask of shape"):
        result.iou(truth[:50])


def test_iou_is_that_of_sets() -> None:
    mask, truth = torch.rand(2, 9, 7) > 0.5, torch.rand(2, 9, 7) > 0.5
    found = Segmentation(mask, torch.rand(2, 3, 9, 7), None).iou(truth)  # type: ignore[arg-type]
    for one, other, value in zip(mask, truth, found, strict=True):
        sets = [{tuple(place) for place in each.nonzero().tolist()} for each in (one, other)]
        assert value == pytest.approx(len(sets[0] & sets[1]) / len(sets[0] | sets[1]))


def test_a_recipe_says_what_the_map_was(lite0: cs.Network, photograph: Tensor, tmp_path: Path) -> None:
    why = cs.saliency(lite0, lite0.prepare(photograph), "tiger cat", rule="guided")
    cs.segment(photograph, why, network=lite0, seed=4).save(tmp_path / "cat.png", style="cutout")
    recipe = read_recipe(tmp_path / "cat.png")
    assert (recipe.method, recipe.seed, recipe.picture) == ("segment", 4, {"style": "cutout"})
    of: Any = recipe.parameters["of"]
    assert (of["method"], of["parameters"]) == ("saliency", dict(why.recipe.parameters))
    assert [(each.name, each.prepared) for each in recipe.inputs] == [("chelsea", False), ("chelsea", True)]


def test_without_opencv_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    image, _, values = scene(0)
    with pytest.raises(MissingExtra, match=r"pip install 'convscope\[segment\]'"):
        cs.segment(image, attribution(values, image))


@pytest.mark.parametrize("iterations", [0, -1, 1.5])
def test_iterations_are_a_whole_number(iterations: Any) -> None:
    image, _, values = scene(0)
    with pytest.raises(ImageError, match="iterations"):
        cs.segment(image, attribution(values, image), iterations=iterations)


@given(st.integers(0, 2**31), st.integers(2, 12), st.integers(2, 12))
@settings(max_examples=25, deadline=None)
def test_the_mask_is_one_part_that_holds_a_seed(seed: int, height: int, width: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    image = torch.rand(3, height, width, generator=draw)
    values = torch.randint(0, 5, (height, width), generator=draw).float()
    values[0, 0], values[-1, -1] = 0, 5
    result = cs.segment(image, attribution(values, image), smooth=0)
    found = seeds(values, foreground=0.05, background=0.30)
    assert result.mask.any()
    assert not (result.mask & found.background).any()
