"""Non-parametric sampling against its definition, written out one pixel and one window at a time."""

from itertools import product
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
from convscope.synthesis import efros_leung as module
from convscope.synthesis.copied import CopiedTexture
from convscope.synthesis.efros_leung import efros_leung

Array = NDArray[np.float64]


def example(channels: int = 3, rows: int = 9, columns: int = 11, *, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(channels, rows, columns, generator=generator, dtype=torch.float64)


def block_mask(size: tuple[int, int], rows: slice, columns: slice) -> Tensor:
    mask = torch.zeros(size, dtype=torch.bool)
    mask[rows, columns] = True
    return mask


def seeded_slowly(given: Tensor, size: tuple[int, int], draws: np.random.Generator) -> Array:
    """Nothing known (NaN) but 3 × 3 pixels of the example in the middle."""
    image = np.full((len(given), *size), np.nan)
    top, left = int(draws.integers(given.shape[1] - 2)), int(draws.integers(given.shape[2] - 2))
    rows, columns = (size[0] - 3) // 2, (size[1] - 3) // 2
    image[:, rows : rows + 3, columns : columns + 3] = given[:, top : top + 3, left : left + 3]
    return image


def matched_slowly(given: Array, image: Array, row: int, column: int, half: int, barred: Array | None) -> list[float]:
    """The difference of each window of the example, row by row, from what is known about a pixel."""
    differences = []
    for y, x in product(range(half, given.shape[1] - half), range(half, given.shape[2] - half)):
        total = weights = 0.0
        touches = False
        for dy, dx in product(range(-half, half + 1), repeat=2):
            touches = touches or (barred is not None and bool(barred[y + dy, x + dx]))
            to_row, to_column = row + dy, column + dx
            inside = 0 <= to_row < image.shape[1] and 0 <= to_column < image.shape[2]
            if not inside or np.isnan(image[0, to_row, to_column]):
                continue
            weight = np.exp(-(dy**2 + dx**2) / (2 * ((2 * half + 1) / 6.4) ** 2))
            total += weight * np.mean((given[:, y + dy, x + dx] - image[:, to_row, to_column]) ** 2)
            weights += weight
        differences.append(np.inf if touches else total / weights)
    return differences


def known_neighbours(image: Array, row: int, column: int) -> int:
    about = image[0, max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
    return int((~np.isnan(about)).sum())


def grown_slowly(
    given: Tensor, image: Array, window: int, tolerance: float, draws: np.random.Generator, barred: Array | None = None
) -> Array:
    """Efros and Leung 1999, one after the other: each pixel sees all that were filled before it."""
    source, half = given.numpy(), window // 2
    places = list(product(range(half, source.shape[1] - half), range(half, source.shape[2] - half)))
    while True:
        ring = [(y, x) for y, x in np.argwhere(np.isnan(image[0])).tolist() if known_neighbours(image, y, x)]
        if not ring:
            return image
        mixed = draws.permutation(np.array(ring)).tolist()
        counts = {(y, x): known_neighbours(image, y, x) for y, x in ring}
        mixed.sort(key=lambda pixel: -counts[tuple(pixel)])
        for (row, column), chance in zip(mixed, draws.random(len(mixed)), strict=True):
            differences = matched_slowly(source, image, row, column, half, barred)
            near = [p for p, d in zip(places, differences, strict=True) if d <= min(differences) * (1 + tolerance)]
            y, x = near[int(chance * len(near))]
            image[:, row, column] = source[:, y, x]


@pytest.mark.parametrize(
    ("channels", "size", "window", "tolerance", "seed"),
    [(3, (10, 13), 5, 0.1, 0), (1, (7, 4), 3, 0.5, 1), (4, (8, 9), 7, 0.0, 2), (2, (3, 15), 3, 2.0, 3)],
)
def test_equals_its_definition(channels: int, size: tuple[int, int], window: int, tolerance: float, seed: int) -> None:
    given, draws = example(channels), np.random.default_rng(seed)
    expected = grown_slowly(given, seeded_slowly(given, size, draws), window, tolerance, draws)
    found = efros_leung(given, size=size, window=window, tolerance=tolerance, seed=seed)
    np.testing.assert_array_equal(found.image.numpy(), expected)


@pytest.mark.parametrize("own", [True, False])
def test_a_hole_is_filled_as_defined(own: bool) -> None:
    given = example(2, 10, 12)
    image = given if own else example(2, 8, 7, seed=9)
    hole = block_mask((image.shape[1], image.shape[2]), slice(3, 6), slice(2, 5))
    begun = np.where(hole.numpy(), np.nan, image.numpy())
    barred = hole.numpy() if own else None
    expected = grown_slowly(given, begun, 3, 0.3, np.random.default_rng(4), barred)
    found = efros_leung(given, start=None if own else image, mask=hole, window=3, tolerance=0.3, seed=4)
    np.testing.assert_array_equal(found.image.numpy(), expected)


def test_how_many_are_matched_together_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    given = example(3, 15, 15)
    together = efros_leung(given, size=24, window=5).image
    monkeypatch.setattr(module, "_TOGETHER", 1)
    assert torch.equal(efros_leung(given, size=24, window=5).image, together)


def assert_copied(result: CopiedTexture, start: Tensor | None = None, mask: Tensor | None = None) -> None:
    """Every pixel is the one of the example that `source` names, or was there from the start."""
    rows, columns = result.source.unbind(-1)
    kept = torch.zeros_like(rows, dtype=torch.bool) if mask is None else ~mask
    assert torch.equal(rows == -1, kept)
    assert torch.equal(columns == -1, kept)
    assert torch.equal(result.image[:, ~kept], result.example[:, rows[~kept], columns[~kept]])
    if start is not None:
        assert torch.equal(result.image[:, kept], start[:, kept])


@given(st.integers(1, 4), st.integers(1, 14), st.integers(1, 14), st.sampled_from([3, 5, 7]), st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_it_copies_and_has_the_size_asked_for(channels: int, rows: int, columns: int, window: int, seed: int) -> None:
    given = example(channels, seed=seed).float()
    result = efros_leung(given, size=(rows, columns), window=window, seed=seed)
    assert result.image.shape == (channels, rows, columns)
    assert result.image.dtype == given.dtype
    assert_copied(result)


@given(st.integers(0, 15), st.integers(0, 15), st.integers(1, 6), st.integers(1, 6), st.integers(1, 2), st.booleans())
@settings(max_examples=25, deadline=None)
def test_only_the_hole_is_filled(top: int, left: int, rows: int, columns: int, channels: int, own: bool) -> None:
    given = example(channels, 20, 21)
    image = given if own else example(channels, 20, 21, seed=1)
    mask = block_mask((20, 21), slice(top, top + rows), slice(left, left + columns))
    result = efros_leung(given, start=None if own else image, mask=mask, window=5)
    assert_copied(result, image, mask)
    if own:
        places = result.source[mask]
        assert not mask[places[:, 0], places[:, 1]].any()


@given(st.floats(0, 1), st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_of_one_colour_comes_one_colour(value: float, seed: int) -> None:
    flat = torch.full((3, 6, 7), value)
    assert torch.equal(efros_leung(flat, size=11, window=5, seed=seed).image, flat[:, :1, :1].expand(3, 11, 11))


@pytest.mark.parametrize("seed", range(3))
def test_stripes_and_checkers_go_on(seed: int) -> None:
    steps = torch.arange(16)
    stripes = ((steps % 6) < 3).float().expand(1, 16, 16)
    image = efros_leung(stripes, size=(12, 25), window=7, seed=seed).image
    assert torch.equal(image[:, :, 6:], image[:, :, :-6])
    assert torch.equal(image[:, 1:], image[:, :-1])
    checkers = ((steps[:, None] // 2 + steps // 2) % 2).float()[None]
    image = efros_leung(checkers, size=(21, 18), window=7, seed=seed).image
    assert torch.equal(image[:, 4:], image[:, :-4])
    assert torch.equal(image[:, 2:], 1 - image[:, :-2])


def test_a_hole_in_a_pattern_is_not_seen_afterwards() -> None:
    steps = torch.arange(24)
    checkers = ((steps[:, None] // 2 + steps // 2) % 2).float()[None]
    mask = block_mask((24, 24), slice(15, 21), slice(2, 9))
    broken = torch.where(mask, torch.full_like(checkers, 0.3), checkers)
    assert torch.equal(efros_leung(broken, mask=mask, window=7).image, checkers)


def test_what_is_in_the_hole_does_not_matter() -> None:
    given = example(3, 20, 20)
    mask = block_mask((20, 20), slice(1, 5), slice(4, 9))
    broken = given.masked_fill(mask, 0.77)
    first, second = (efros_leung(each, mask=mask, window=5).image for each in (given, broken))
    assert torch.equal(first, second)


def test_a_picture_is_extended() -> None:
    given = example(3, 12, 12).float()
    start = torch.nn.functional.pad(given, (3, 2, 0, 4))
    mask = torch.ones(16, 17, dtype=torch.bool)
    mask[:12, 3:15] = False
    result = efros_leung(given, start=start, mask=mask, window=5)
    assert torch.equal(result.image[:, :12, 3:15], given)
    assert_copied(result, start, mask)


def test_a_mask_may_be_a_picture() -> None:
    given = example(3, 20, 20)
    mask = block_mask((20, 20), slice(1, 5), slice(4, 9))
    found = efros_leung(given, mask=mask.float().expand(3, 20, 20), window=5).image
    assert torch.equal(found, efros_leung(given, mask=mask, window=5).image)


def test_by_default_it_is_half_as_large_again() -> None:
    assert efros_leung(example(1, 6, 7), window=3).image.shape == (1, 9, 10)


def test_the_seed_decides() -> None:
    given = example()
    first = efros_leung(given, window=3, seed=3).image
    assert torch.equal(efros_leung(given, window=3, seed=3).image, first)
    assert not torch.equal(efros_leung(given, window=3, seed=4).image, first)


def again(recipe: Recipe, *images: Tensor) -> CopiedTexture:
    """What a recipe makes of the images it names, in their order."""
    options: dict[str, Any] = {**Recipe.from_json(recipe.to_json()).parameters, "seed": recipe.seed}
    named = [name for name in ("start", "mask") if options[name] == "image"]
    return efros_leung(images[0], **{**options, **dict(zip(named, images[1:], strict=True))})


def test_its_recipe_makes_it_again() -> None:
    given, start = example(), example(3, 14, 13, seed=5)
    plain = efros_leung(given, window=3, tolerance=0.3, seed=2)
    assert torch.equal(again(plain.recipe, given).image, plain.image)
    mask = block_mask((14, 13), slice(2, 6), slice(3, 8))
    filled = efros_leung(given, start=start, mask=mask, window=3, seed=2)
    assert len(filled.recipe.inputs) == 3
    assert torch.equal(again(filled.recipe, given, start, mask).image, filled.image)


def test_it_can_be_stopped_and_shows_what_is_there() -> None:
    seen: list[cs.Progress] = []

    def watch(progress: cs.Progress) -> bool:
        seen.append(progress)
        return progress.done < 20

    with pytest.raises(cs.Cancelled, match="of 135 steps"):
        efros_leung(example(), size=12, window=3, progress=watch)
    assert [each.done for each in seen] == sorted({each.done for each in seen})
    assert {each.total for each in seen} == {135}
    last = seen[-1].preview
    assert last.shape == (3, 12, 12)
    assert int(last.any(0).sum()) == 9 + seen[-1].done


def everything(rows: int = 9, columns: int = 11) -> Tensor:
    return torch.ones(rows, columns, dtype=torch.bool)


@pytest.mark.parametrize(
    ("given", "options", "said"),
    [
        (example(3, 1, 1), {}, "1 × 1 pixels; expected 15 × 15 at least: take a larger example or a smaller window"),
        (example(), {"window": 11}, "9 × 11 pixels; expected 11 × 11"),
        (example(), {"window": 4}, "window=4; expected an odd"),
        (example(), {"window": 1}, "window=1"),
        (example()[None], {"window": 3}, "a batch"),
        (torch.zeros(3, 9, 9, dtype=torch.uint8), {"window": 3}, "uint8"),
        (torch.full((1, 9, 9), float("nan")), {"window": 3}, "NaN"),
        (example(), {"window": 3, "size": 0}, "size=0"),
        (example(), {"window": 3, "size": (4,)}, "rows, columns"),
        (example(), {"window": 3, "tolerance": -1}, "tolerance=-1"),
        (example(), {"window": 3, "start": example()}, "start without a mask"),
        (example(), {"window": 3, "mask": everything()}, "nothing is known around"),
        (example(), {"window": 3, "mask": ~everything()}, "marks nothing"),
        (example(), {"window": 3, "mask": everything(8)}, r"mask of shape \(8, 11\)"),
        (example(), {"window": 3, "mask": everything(), "size": 9}, "size=9 and a mask"),
        (example(), {"window": 3, "mask": everything(), "start": example(1)}, "3 channels"),
        (example(), {"window": 9, "mask": block_mask((9, 11), slice(4, 5), slice(5, 6))}, "touches the hole"),
    ],
)
def test_what_can_not_be_is_refused(given: Tensor, options: dict[str, Any], said: str) -> None:
    with pytest.raises(cs.ImageError, match=said):
        efros_leung(given, **options)


def test_what_was_kept_is_grey_among_the_places() -> None:
    given = example(4, 20, 20)
    mask = block_mask((20, 20), slice(1, 5), slice(4, 9))
    colours = efros_leung(given, mask=mask, window=5).picture(style="source").getcolors(5000)
    assert colours is not None
    assert (380, (204, 204, 204)) in colours
