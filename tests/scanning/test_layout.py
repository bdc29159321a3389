"""Layouts: grids against an exact assignment by brute force and by SciPy, stacks against what their docstring says."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import convscope as cs
from convscope.errors import ConvscopeError
from convscope.scanning.layout import grid_cells, grid_shape, stacking


def cost(places: NDArray[np.float64], cells: NDArray[np.int64], shape: tuple[int, int]) -> float:
    """The sum that grids make small, of places that span the unit square."""
    low, span = places.min(0), np.ptp(places, axis=0)
    stretched = np.where(span > 0, (places - low) / np.where(span > 0, span, 1), 0.5)
    return float(((stretched - (cells[:, ::-1] + 0.5) / np.array(shape[::-1])) ** 2).sum())


def heaps(count: int, seed: int) -> NDArray[np.float64]:
    random = np.random.default_rng(seed)
    return random.random((6, 2))[random.integers(0, 6, count)] + random.normal(size=(count, 2)) * 0.05


@given(count=st.integers(1, 120), seed=st.integers(0, 99), exact=st.sampled_from([1, 8, 2000]))
@settings(deadline=None, max_examples=40)
def test_each_image_has_a_cell_of_its_own_and_better_than_by_chance(count: int, seed: int, exact: int) -> None:
    places = heaps(count, seed)
    shape = grid_shape(count)
    cells = grid_cells(places, exact=exact)
    assert cells.shape == (count, 2)
    assert len({tuple(cell) for cell in cells.tolist()}) == count
    assert (cells >= 0).all()
    assert (cells < shape).all()
    random = cells[np.random.default_rng(seed).permutation(count)]
    assert cost(places, cells, shape) <= cost(places, random, shape) + 1e-9


@given(count=st.integers(1, 6), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=25)
def test_few_images_have_the_least_cost_of_all_ways(count: int, seed: int) -> None:
    places = np.random.default_rng(seed).random((count, 2))
    shape = grid_shape(count)
    all_cells = list(itertools.product(range(shape[0]), range(shape[1])))
    least = min(cost(places, np.array(ways), shape) for ways in itertools.permutations(all_cells, count))
    assert cost(places, grid_cells(places), shape) == pytest.approx(least)


@pytest.mark.parametrize(("count", "most"), [(300, 1.03), (900, 1.06)])
def test_tiles_cost_hardly_more_than_the_whole_at_once(count: int, most: float) -> None:
    for seed in range(3):
        places = heaps(count, seed)
        shape = grid_shape(count)
        whole, tiled = grid_cells(places, exact=count), grid_cells(places, exact=100)
        assert cost(places, whole, shape) <= cost(places, tiled, shape) <= most * cost(places, whole, shape)


def test_a_grid_of_its_own_cells_stays_as_it_is() -> None:
    cells = np.array([(row, column) for row in range(7) for column in range(5)])
    np.testing.assert_array_equal(grid_cells(cells[:, ::-1] / 9, (7, 5)), cells)


def test_equal_places_fill_cells() -> None:
    assert len({tuple(cell) for cell in grid_cells(np.full((50, 2), 0.3), exact=10).tolist()}) == 50
    assert grid_cells(np.zeros((0, 2)), (1, 1)).shape == (0, 2)


def test_too_few_cells_are_named() -> None:
    with pytest.raises(ConvscopeError, match="5 images in a grid of 2 rows × 2 columns"):
        grid_cells(np.zeros((5, 2)), (2, 2))
    with pytest.raises(ConvscopeError, match="exact=0"):
        grid_cells(np.zeros((5, 2)), exact=0)


def test_a_watcher_can_stop_a_large_grid() -> None:
    with pytest.raises(cs.Cancelled):
        grid_cells(heaps(700, 0), exact=100, progress=lambda progress: progress.done < 2)


@given(count=st.integers(1, 150), seed=st.integers(0, 99), side=st.sampled_from([0.02, 0.1, 0.4]))
@settings(deadline=None, max_examples=40)
def test_stacks_are_of_free_levels_and_the_top_one_is_as_full_as_it_can_be(count: int, seed: int, side: float) -> None:
    places = np.random.default_rng(seed).random((count, 2))
    order = stacking(places, side)
    assert len(set(order.tolist())) == len(order) <= count

    def meet(one: int, other: int) -> bool:
        return bool((np.abs(places[one] - places[other]) < side).all())

    # The top level is what comes last, as long as nothing in it meets.
    top: list[int] = []
    for index in reversed(order.tolist()):
        if any(meet(index, other) for other in top):
            break
        top.append(index)
    assert all(index in top or any(meet(index, other) for other in top) for index in range(count))


def test_pictures_that_leave_each_other_free_are_all_drawn() -> None:
    places = np.array([(x / 10, y / 10) for x in range(10) for y in range(10)])
    assert sorted(stacking(places, 0.09).tolist()) == list(range(100))


def test_a_heap_of_equal_places_is_drawn_only_six_deep() -> None:
    assert len(stacking(np.full((40, 2), 0.5), 0.1)) == 6
