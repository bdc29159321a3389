"""Image quilting against its definition, written out block by block, and against every possible cut."""

from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

import convscope as cs
from convscope.image.recipe import Recipe
from convscope.synthesis.copied import CopiedTexture
from convscope.synthesis.quilting import least_cut, quilting

Array = NDArray[np.float64]
Path = tuple[int, ...]


def example(channels: int = 3, rows: int = 12, columns: int = 14, *, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(channels, rows, columns, generator=generator, dtype=torch.float64)


def contiguous_paths(rows: int, columns: int) -> list[Path]:
    every = product(range(columns), repeat=rows)
    return [path for path in every if all(abs(a - b) <= 1 for a, b in pairwise(path))]


def cut_slowly(errors: Array) -> Path:
    """Of all contiguous paths the one whose errors sum to least."""

    def cost(path: Path) -> float:
        return float(sum(errors[row, column] for row, column in enumerate(path)))

    return min(contiguous_paths(*errors.shape), key=cost)


def quilted_slowly(
    given: Tensor, size: tuple[int, int], block: int, overlap: int, tolerance: float, seed: int
) -> Array:
    """Efros and Freeman 2001, one block, one candidate and one cut at a time."""
    source, draws = given.numpy(), np.random.default_rng(seed)
    channels, rows, columns = source.shape
    laid = np.full((channels, size[0] + block, size[1] + block), np.nan)
    step = block - overlap
    for top in range(0, max(1, size[0] - overlap), step):
        for left in range(0, max(1, size[1] - overlap), step):
            below = laid[:, top : top + block, left : left + block]
            known = np.zeros((block, block), bool)
            known[: overlap if top else 0] = True
            known[:, : overlap if left else 0] = True
            places = list(product(range(rows - block + 1), range(columns - block + 1)))
            candidates = [source[:, y : y + block, x : x + block] for y, x in places]
            differences = [np.mean((new - below)[:, known] ** 2) if known.any() else 0.0 for new in candidates]
            near = [
                new for new, d in zip(candidates, differences, strict=True) if d <= min(differences) * (1 + tolerance)
            ]
            new = near[int(draws.random() * len(near))]
            errors = np.sum((new - below) ** 2, 0)
            from_left = cut_slowly(errors[:, :overlap]) if left else (0,) * block
            from_top = cut_slowly(errors[:overlap].T) if top else (0,) * block
            for y, x in product(range(block), range(block)):
                if x >= from_left[y] and y >= from_top[x]:
                    below[:, y, x] = new[:, y, x]
    return laid[:, : size[0], : size[1]]


@pytest.mark.parametrize(
    ("channels", "size", "block", "overlap", "tolerance"),
    [(3, (17, 22), 6, 2, 0.1), (1, (9, 30), 5, 1, 0.5), (4, (3, 4), 6, 3, 0.0), (2, (16, 13), 4, 3, 2.0)],
)
@pytest.mark.parametrize("seed", [0, 5])
def test_equals_its_definition(
    channels: int, size: tuple[int, int], block: int, overlap: int, tolerance: float, seed: int
) -> None:
    given = example(channels)
    expected = quilted_slowly(given, size, block, overlap, tolerance, seed)
    found = quilting(given, size=size, block=block, overlap=overlap, tolerance=tolerance, seed=seed)
    np.testing.assert_array_equal(found.image.numpy(), expected)


@given(st.integers(1, 6), st.integers(1, 4), st.integers(0, 999))
@settings(max_examples=60, deadline=None)
def test_no_cut_is_cheaper_and_none_is_torn(rows: int, columns: int, seed: int) -> None:
    errors = np.random.default_rng(seed).random((rows, columns))
    found = tuple(least_cut(errors).tolist())
    assert found in contiguous_paths(rows, columns)
    assert found == cut_slowly(errors)


def test_the_cut_is_contiguous_where_many_are_as_good() -> None:
    assert least_cut(np.zeros((40, 7))).tolist() == [0] * 40
    steep = np.ones((5, 5)) - np.eye(5)
    assert least_cut(steep).tolist() == list(range(5))


def assert_copied(result: CopiedTexture) -> None:
    """Every pixel is the one of the example that `source` names."""
    rows, columns = result.source.unbind(-1)
    assert torch.equal(result.image, result.example[:, rows, columns])


@given(st.integers(1, 4), st.integers(1, 40), st.integers(1, 40), st.integers(2, 12), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_it_copies_and_has_the_size_asked_for(channels: int, rows: int, columns: int, block: int, seed: int) -> None:
    given = example(channels, seed=seed).float()
    result = quilting(given, size=(rows, columns), block=block, seed=seed)
    assert result.image.shape == (channels, rows, columns)
    assert result.image.dtype == given.dtype
    assert result.source.shape == (rows, columns, 2)
    assert_copied(result)


@given(st.floats(0, 1), st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_of_one_colour_comes_one_colour(value: float, seed: int) -> None:
    flat = torch.full((3, 9, 11), value)
    assert torch.equal(quilting(flat, size=23, seed=seed).image, flat[:, :1, :1].expand(3, 23, 23))


@pytest.mark.parametrize("period", [2, 3, 5])
@pytest.mark.parametrize("seed", range(4))
def test_a_period_is_continued(period: int, seed: int) -> None:
    steps = torch.arange(20)
    tiles = example(1, period, period)[:, steps[:, None] % period, steps % period].float()
    image = quilting(tiles, size=(41, 37), block=2 * period + 1, overlap=period, seed=seed).image
    assert torch.equal(image[:, period:], image[:, :-period])
    assert torch.equal(image[:, :, period:], image[:, :, :-period])


def test_a_block_is_laid_whole_where_nothing_lies_yet() -> None:
    result = quilting(example(), size=5, block=8)
    places = result.source - result.source[0, 0]
    assert torch.equal(places[..., 0], torch.arange(5)[:, None].expand(5, 5))
    assert torch.equal(places[..., 1], torch.arange(5).expand(5, 5))


def test_by_default_it_is_twice_as_large() -> None:
    result = quilting(example(3, 30, 25).float())
    assert result.image.shape == (3, 60, 50)
    assert (result.recipe.parameters["block"], result.recipe.parameters["overlap"]) == (6, 1)
    small = quilting(example(1, 2, 2), size=5)
    assert small.recipe.parameters["block"] == 2
    assert_copied(small)


def test_the_seed_decides() -> None:
    given = example()
    first = quilting(given, seed=3).image
    assert torch.equal(quilting(given, seed=3).image, first)
    assert not torch.equal(quilting(given, seed=4).image, first)


def test_transferred_it_follows_the_picture() -> None:
    given = torch.linspace(0, 1, 40).expand(3, 24, 40).contiguous()
    generator = torch.Generator().manual_seed(0)
    given = (given + 0.05 * torch.rand(given.shape, generator=generator)).clamp(0, 1)
    shown = torch.zeros(1, 50, 33)
    shown[:, 10:30, 12:25] = 1.0
    result = quilting(given, like=shown, alpha=0.1, block=4)
    assert result.image.shape == (3, 50, 33)
    assert_copied(result)
    likeness = torch.corrcoef(torch.stack([result.image.mean(0).ravel(), shown.ravel()]))[0, 1]
    assert likeness > 0.8
    deaf = quilting(given, like=shown, alpha=1.0, block=4)
    assert torch.equal(deaf.image, quilting(given, size=(50, 33), block=4).image)


def test_a_picture_of_one_grey_is_followed_too() -> None:
    assert_copied(quilting(example(2), like=torch.full((4, 20, 20), 0.5), alpha=0.0))


def again(recipe: Recipe, *images: Tensor) -> CopiedTexture:
    """What a recipe makes of the images it names."""
    options: dict[str, Any] = {**Recipe.from_json(recipe.to_json()).parameters, "seed": recipe.seed}
    if options["like"] == "image":
        options["like"] = images[1]
    return quilting(images[0], **options)


def test_its_recipe_makes_it_again() -> None:
    given, shown = example(), example(1, 21, 19)
    plain = quilting(given, block=5, tolerance=0.3, seed=2)
    assert torch.equal(again(plain.recipe, given).image, plain.image)
    transferred = quilting(given, like=shown, alpha=0.4, seed=2)
    assert len(transferred.recipe.inputs) == 2
    assert torch.equal(again(transferred.recipe, given, shown).image, transferred.image)


def test_it_can_be_stopped_and_shows_what_is_there() -> None:
    seen: list[cs.Progress] = []

    def watch(progress: cs.Progress) -> bool:
        seen.append(progress)
        return progress.done < 3

    with pytest.raises(cs.Cancelled, match="3 of 42"):
        quilting(example(), size=(25, 26), block=5, overlap=1, progress=watch)
    assert [each.done for each in seen] == [1, 2, 3]
    shown = [each.preview for each in seen]
    assert {tuple(each.shape) for each in shown} == {(3, 25, 26)}
    assert not torch.equal(shown[0], shown[2])
    assert not shown[2][:, 5:].any()


@pytest.mark.parametrize(
    ("given", "options", "said"),
    [
        (example(3, 1, 1), {}, "1 × 1 pixels; expected 2 × 2"),
        (example()[None], {}, "a batch"),
        (torch.zeros(3, 9, 9, dtype=torch.uint8), {}, "uint8"),
        (torch.full((1, 9, 9), float("nan")), {}, "NaN"),
        (example(), {"block": 13}, "block=13 .* expected 2 to 12"),
        (example(), {"block": 1}, "expected 2 to 12"),
        (example(), {"block": 6, "overlap": 6}, "expected 1 to 5"),
        (example(), {"overlap": 0}, "overlap=0"),
        (example(), {"size": 0}, "size=0"),
        (example(), {"size": (5, -1)}, "expected a number of pixels"),
        (example(), {"size": (5, 5, 5)}, "rows, columns"),
        (example(), {"tolerance": -0.1}, "tolerance=-0.1"),
        (example(), {"tolerance": float("nan")}, "tolerance=nan"),
        (example(), {"alpha": 1.5}, "alpha=1.5"),
        (example(), {"like": example(), "size": 9}, "size of like"),
        (example(), {"like": example()[None]}, "one image"),
    ],
)
def test_what_can_not_be_is_refused(given: Tensor, options: dict[str, Any], said: str) -> None:
    with pytest.raises(cs.ImageError, match=said):
        quilting(given, **options)


def test_it_is_seen_alone_beside_its_example_and_by_its_places() -> None:
    result = quilting(example(4), size=(40, 60))
    assert result.picture().size == (60, 40)
    assert result.picture(style="beside").width > 60
    assert result.picture(style="source").getcolors(5000)
    with pytest.raises(cs.ConvscopeError, match="no style 'besides'; nearest: beside"):
        result.picture(style="besides")  # type: ignore[arg-type]
