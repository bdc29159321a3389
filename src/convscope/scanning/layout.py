"""Where pictures stand on a map: each at its place, some over others, or each in a cell of its own."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convscope.errors import ConvscopeError, MissingExtra
from convscope.progress import Steps, Watcher

Places = NDArray[Any]
"""Positions (n, 2) of any float type: across, then down, in [0, 1]."""

EXACT = 2000
"""Images up to which a grid is the best there is: the work grows with their number cubed."""

_LEVELS = 6
"""Pictures that lie over each other at most; what would be below them isn't drawn."""
_TILE = 512
"""Cells of a tile whose images are assigned at once."""
_ROUNDS = 6
"""How often tiles are moved and assigned anew."""


def stacking(places: Places, side: float) -> NDArray[np.int64]:
    """Which of the squares around places (n, 2) to draw, the lowest first, so that many are seen whole.

    On top lie squares that leave each other free, as many as find room from the first on; below them those that do
    so among what is left, and so on for six levels. A square that meets one in each level would hardly be seen, and is
    left out. `side` is that of a square, in the unit of the places.

    >>> stacking(np.array([[0.1, 0.1], [0.12, 0.1], [0.5, 0.5]]), 0.1).tolist()
    [1, 0, 2]
    """
    levels: list[list[int]] = [[] for _ in range(_LEVELS)]
    taken: list[dict[tuple[int, int], list[tuple[float, float]]]] = [{} for _ in range(_LEVELS)]
    for index, (x, y) in enumerate(places.tolist()):
        column, row = math.floor(x / side), math.floor(y / side)
        around = [(column + across, row + down) for across in (-1, 0, 1) for down in (-1, 0, 1)]
        for level, cells in zip(levels, taken, strict=True):
            near = (place for cell in around for place in cells.get(cell, ()))
            if not any(abs(x - other[0]) < side and abs(y - other[1]) < side for other in near):
                level.append(index)
                cells.setdefault((column, row), []).append((x, y))
                break
    return np.array([index for level in reversed(levels) for index in level], dtype=np.int64)


def grid_shape(count: int) -> tuple[int, int]:
    """(rows, columns) of the most nearly square grid for so many images, its last row perhaps not full.

    >>> grid_shape(9), grid_shape(10), grid_shape(13)
    ((3, 3), (3, 4), (4, 4))
    """
    columns = math.ceil(math.sqrt(count))
    return math.ceil(count / columns), columns


def grid_cells(
    places: Places,
    shape: tuple[int, int] | None = None,
    *,
    exact: int = EXACT,
    progress: Watcher | None = None,
) -> NDArray[np.int64]:
    """A cell (row, column) for each image (n, 2), none twice, so that Σ |place − centre of its cell|² is small.

    It is the least there is, by linear assignment (Kuhn 1955; Crouse 2016, as SciPy has it), for up to `exact` images.
    For more, the plane is halved again and again, with images in proportion to cells on each side, until halves are
    small enough to be assigned; then tiles that lie across the borders are assigned anew, which can only lessen the
    sum. That takes time in proportion to the images.

    Parameters
    ----------
    places
        (n, 2), across and down; what they span is stretched over the grid.
    shape
        (rows, columns), cells enough; by default the most nearly square.

    Raises
    ------
    ConvscopeError
        Fewer cells than images, or `exact` below 1.
    MissingExtra
        SciPy (extra `scan`) isn't there.
    Cancelled
        `progress`, called after each tile, returned False.

    >>> grid_cells(np.array([[0.9, 0.1], [0.1, 0.9], [0.1, 0.2], [0.8, 0.8]])).tolist()
    [[0, 1], [1, 0], [0, 0], [1, 1]]
    """
    shape = shape or grid_shape(len(places))
    if shape[0] * shape[1] < len(places) or exact < 1:
        raise ConvscopeError(
            f"{len(places)} images in a grid of {shape[0]} rows × {shape[1]} columns, exact={exact}; "
            "expected a cell for each, and exact of 1 or more"
        )
    assigning = _Assigning(_stretched(places), shape)
    whole = _Tile(0, 0, *shape)
    if len(places) <= exact:
        assigning.assign(np.arange(len(places)), whole)
        return assigning.cells
    halved = list(_halved(np.arange(len(places)), whole, assigning.places, min(_TILE, exact)))
    moved = [tile for again in range(_ROUNDS) for tile in _moved(shape, again)]
    steps = Steps(len(halved) + len(moved), progress)
    for rows, tile in halved:
        assigning.assign(rows, tile)
        steps.done()
    for tile in moved:
        assigning.assign(assigning.within(tile), tile)
        steps.done()
    return assigning.cells


@dataclass(frozen=True)
class _Tile:
    """A rectangle of cells."""

    row: int
    column: int
    rows: int
    columns: int

    @property
    def cells(self) -> NDArray[np.int64]:
        """(row, column) of each, (rows · columns, 2)."""
        across, down = np.meshgrid(np.arange(self.columns), np.arange(self.rows))
        return np.stack([down.ravel() + self.row, across.ravel() + self.column], axis=1)


class _Assigning:
    """Cells as they are given to images, tile by tile."""

    def __init__(self, places: Places, shape: tuple[int, int]) -> None:
        self.places = places
        self.cells = np.full((len(places), 2), -1, dtype=np.int64)
        self._shape = shape

    def assign(self, rows: NDArray[np.int64], tile: _Tile) -> None:
        """Give the images of these rows cells of the tile, at the least sum."""
        try:
            from scipy.optimize import linear_sum_assignment
        except ImportError as error:
            raise MissingExtra("grids", extra="scan") from error
        if len(rows):
            cells = tile.cells
            centres = (cells[:, ::-1] + 0.5) / np.array(self._shape[::-1])
            away = sum((self.places[rows, axis, None] - centres[None, :, axis]) ** 2 for axis in (0, 1))
            images, chosen = linear_sum_assignment(away)
            self.cells[rows[images]] = cells[chosen]

    def within(self, tile: _Tile) -> NDArray[np.int64]:
        """The images that have cells of the tile."""
        low = np.array([tile.row, tile.column])
        high = np.array([tile.row + tile.rows, tile.column + tile.columns])
        return np.flatnonzero(((self.cells >= low) & (self.cells < high)).all(axis=1))


def _stretched(places: Places) -> NDArray[np.float64]:
    """Places so that they span [0, 1] both ways; 1/2 where they don't spread."""
    numbers = np.asarray(places, dtype=np.float64)
    low, span = numbers.min(axis=0, initial=math.inf), np.ptp(numbers, axis=0) if len(numbers) else np.zeros(2)
    return np.where(span > 0, (numbers - low) / np.where(span > 0, span, 1), 0.5)


def _halved(
    rows: NDArray[np.int64], tile: _Tile, places: Places, largest: int
) -> "list[tuple[NDArray[np.int64], _Tile]]":
    """Small tiles that make up one, and the rows of the images that go to each."""
    if tile.rows * tile.columns <= largest:
        return [(rows, tile)]
    if tile.columns >= tile.rows:
        half = tile.columns // 2
        first = _Tile(tile.row, tile.column, tile.rows, half)
        second = _Tile(tile.row, tile.column + half, tile.rows, tile.columns - half)
    else:
        half = tile.rows // 2
        first = _Tile(tile.row, tile.column, half, tile.columns)
        second = _Tile(tile.row + half, tile.column, tile.rows - half, tile.columns)
    axis = 0 if tile.columns >= tile.rows else 1
    share = round(len(rows) * first.rows * first.columns / (tile.rows * tile.columns))
    ordered = rows[np.argsort(places[rows, axis], kind="stable")]
    return [
        *_halved(ordered[:share], first, places, largest),
        *_halved(ordered[share:], second, places, largest),
    ]


def _moved(shape: tuple[int, int], again: int) -> list[_Tile]:
    """Tiles over the whole grid, broad and high in turn, so that images can go far, and moved by half their size."""
    longer = min(2 * math.isqrt(_TILE), max(shape))
    sides = (max(1, _TILE // longer), longer)
    height, width = sides if again % 2 else sides[::-1]
    down, across = (height // 2, width // 2) if again % 4 < 2 else (0, 0)
    rows, columns = range(-down, shape[0], height), range(-across, shape[1], width)
    return [_cut(row, column, height, width, shape) for row in rows for column in columns]


def _cut(row: int, column: int, height: int, width: int, shape: tuple[int, int]) -> _Tile:
    top, left = max(0, row), max(0, column)
    return _Tile(top, left, min(row + height, shape[0]) - top, min(column + width, shape[1]) - left)
