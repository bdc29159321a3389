"""What a unit sees, back in the photograph: against slow twins, and against squares planted where one unit looks."""

from typing import Literal

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

import convscope as cs
from convscope.image.resize import Box, Fit, Placement, place
from convscope.image.write import to_picture
from convscope.network.geometry import ReceptiveField, Sight, Window
from convscope.scanning.crops import UNSEEN, View, crop, placement_of

Where = Literal["corner", "border", "centre", "last"]
FITS: list[Fit] = ["crop", "resize", "pad"]

sides = st.integers(4, 90)
sizes = st.tuples(sides, sides)


@st.composite
def boxes(draw: st.DrawFn) -> tuple[tuple[int, int], Box]:
    """An input's size and a box on it."""
    rows, columns = draw(sizes)
    top, left = draw(st.integers(0, rows - 1)), draw(st.integers(0, columns - 1))
    return (rows, columns), (top, left, draw(st.integers(top + 1, rows)), draw(st.integers(left + 1, columns)))


@settings(deadline=None)
@given(sizes, boxes(), st.sampled_from(FITS), st.floats(0.3, 1))
def test_a_box_holds_the_pixels_that_touch_it_and_no_others(
    original: tuple[int, int], boxed: tuple[tuple[int, int], Box], fit: Fit, fraction: float
) -> None:
    input_size, box = boxed
    placement = place(original, input_size, fit=fit, crop_fraction=fraction)
    found = placement.original_box(box)
    for axis in (0, 1):
        scaled, offset, side = placement.scaled[axis], placement.offset[axis], original[axis]
        # In whole numbers: pixel p lies between p and p + 1 times scaled, in units of a pixel of the input / side.
        first, last = ((box[axis + 2 * end] - offset) * side for end in (0, 1))
        touching = [p for p in range(side) if (p + 1) * scaled > first and p * scaled < last]
        if touching:
            assert (found[axis], found[axis + 2]) == (touching[0], touching[-1] + 1)
        else:
            assert found[axis] == found[axis + 2]


@settings(deadline=None, max_examples=60)
@given(sizes, boxes(), st.sampled_from(FITS))
def test_an_image_of_its_own_pixels_numbers_says_the_same(
    original: tuple[int, int], boxed: tuple[tuple[int, int], Box], fit: Fit
) -> None:
    input_size, (top, left, bottom, right) = boxed
    placement = place(original, input_size, fit=fit)
    numbers = torch.stack(torch.meshgrid(*(torch.arange(side) for side in original), indexing="ij")).double()
    scaled = F.interpolate(numbers[None], placement.scaled, mode="nearest-exact")[0]
    (height, width), (above, beside) = placement.scaled, placement.offset
    padding = (beside, input_size[1] - width - beside, above, input_size[0] - height - above)
    seen = F.pad(scaled, padding, value=-1)[:, top:bottom, left:right]
    found = placement.original_box((top, left, bottom, right))
    for axis in (0, 1):
        there = seen[axis][seen[axis] >= 0]
        if not len(there):
            assert found[axis] == found[axis + 2] or found[1 - axis] == found[3 - axis]
            continue
        step = original[axis] / placement.scaled[axis]
        assert found[axis] <= there.min()
        assert found[axis + 2] > there.max()
        # Nearest takes the pixel at the middle of a step, so that a box reaches less than a step and a pixel further.
        assert there.min() - found[axis] < step / 2 + 1
        assert found[axis + 2] - 1 - there.max() < step / 2 + 1


def detector(*, seen: Box, span: Box, input_size: tuple[int, int], fit: Fit) -> cs.Network:
    """A network whose units see 7×7 pixels, 4 apart from −3 on, and like best what is white just where `seen` is."""
    first, second = nn.Conv2d(1, 1, 3, stride=2, padding=1, bias=False), nn.Conv2d(1, 1, 3, 2, 1, bias=False)
    first.weight.data = torch.ones(1, 1, 3, 3)
    # Each weight of the second stands for 3 pixels, 2 apart; where none of those can be seen, white speaks against.
    rows, columns = (
        torch.tensor(
            [seen[axis] < span[axis] + 2 * step + 3 and span[axis] + 2 * step < seen[axis + 2] for step in range(3)]
        )
        for axis in (0, 1)
    )
    second.weight.data = torch.where(rows[:, None] & columns, 1.0, -1.0)[None, None]
    module = nn.Sequential(first, nn.ReLU(), second)
    return cs.Network(module, input_size=input_size, channels=1, head="none", fit=fit)


UNITS: dict[Where, tuple[int, int]] = {"corner": (0, 0), "border": (3, 0), "centre": (3, 4), "last": (6, 8)}
# An input of 28×36; each picture lies on it at a whole factor, so that the square's edges are pixels' edges.
PICTURES: dict[Fit, tuple[int, int]] = {"crop": (32 * 3, 60 * 3), "resize": (28 * 2, 36 * 5), "pad": (28 * 3, 30 * 3)}


@pytest.mark.parametrize("where", UNITS)
@pytest.mark.parametrize("fit", FITS)
def test_the_square_that_one_unit_sees_is_its_crop(fit: Fit, where: Where) -> None:
    input_size, size, (row, column) = (28, 36), PICTURES[fit], UNITS[where]
    span = (4 * row - 3, 4 * column - 3, 4 * row + 4, 4 * column + 4)
    seen = (max(span[0], 0), max(span[1], 0), min(span[2], 28), min(span[3], 36))
    network = detector(seen=seen, span=span, input_size=input_size, fit=fit)
    placement = placement_of(network, size)
    square = _by_hand(placement, seen)
    picture = torch.zeros(1, *size)
    picture[:, square[0] : square[2], square[1] : square[3]] = 1

    view = View.of(network, "2")
    response = network.capture(network.prepare(picture), ["2"])["2"][0]
    assert tuple(response.shape) == (7, 9)
    assert divmod(int(response.argmax()), 9) == (row, column)
    assert view.seen(row, column) == seen
    assert view.span(row, column) == span
    assert placement.original_box(seen) == square

    tile = np.asarray(crop(to_picture(picture), placement, view, (row, column), cell=70))
    assert tile.shape == (70, 70, 3)
    inside = np.zeros((70, 70), dtype=bool)
    top, left, bottom, right = square
    (above, beside), factor = placement.offset, (size[0] / placement.scaled[0], size[1] / placement.scaled[1])
    edges = [
        round((edge / factor[axis] + (above, beside)[axis] - span[axis]) * 10)
        for edge, axis in ((top, 0), (left, 1), (bottom, 0), (right, 1))
    ]
    inside[edges[0] : edges[2], edges[1] : edges[3]] = True
    assert (tile[inside] == 255).all()
    assert (tile[~inside] == UNSEEN).all()


def _by_hand(placement: Placement, seen: Box) -> Box:
    edges: list[int] = []
    for edge, axis in zip(seen, (0, 1, 0, 1), strict=True):
        factor = placement.original[axis] // placement.scaled[axis]
        assert factor * placement.scaled[axis] == placement.original[axis]
        edges.append(min(max((edge - placement.offset[axis]) * factor, 0), placement.original[axis]))
    return edges[0], edges[1], edges[2], edges[3]


def test_a_picture_of_the_inputs_size_is_taken_as_it_is() -> None:
    network = cs.Network(nn.Conv2d(1, 1, 3), input_size=(20, 24), channels=1, head="none")
    assert placement_of(network, (20, 24)) == Placement((20, 24), (20, 24), (0, 0))
    assert torch.equal(network.prepare(torch.zeros(1, 20, 24)), torch.zeros(1, 20, 24))


def whole(size: int = 30) -> View:
    axis = Sight.of_all(size)
    return View((size, size), (1, 5, 5), ReceptiveField(axis, axis, whole=True))


def larger(size: int = 30) -> View:
    axis = Sight.of_pixels(size).through(Window.sliding(41, 6, 20), size)
    return View((size, size), (1, 5, 5), ReceptiveField(axis, axis))


def test_behind_global_pooling_the_whole_input_is_shown_and_the_units_place_marked() -> None:
    view = whole()
    assert view.whole
    assert view.span(4, 0) == view.seen(4, 0) == (0, 0, 30, 30)
    assert view.mark(4, 0) == (24, 0, 30, 6)
    assert "all of the picture" in view.note
    grey = Image.new("RGB", (30, 30), "#446688")
    tile = np.asarray(crop(grey, Placement((30, 30), (30, 30), (0, 0)), view, (2, 2), cell=90))
    changed = (tile != (0x44, 0x66, 0x88)).any(axis=-1)
    rows, columns = np.nonzero(changed)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (35, 54, 35, 54)
    assert not changed[37:53, 37:53].any()


class Gated(nn.Module):
    """Two convolutions, between them a gate that sees the whole picture, and a normalization by the map's numbers."""

    def __init__(self, *, gate: bool) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 4, 5, 2, 2), nn.Conv2d(4, 4, 3, 2, 1)
        self.squeeze, self.norm = nn.Conv2d(4, 4, 1), nn.GroupNorm(2, 4)
        self.gate = gate

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.first(x))
        if self.gate:
            x = self.norm(x * torch.sigmoid(self.squeeze(F.adaptive_avg_pool2d(x, 1))))
        y: torch.Tensor = self.second(x)
        return y


def test_gates_are_left_aside_and_told_of() -> None:
    gated, plain = (cs.Network(Gated(gate=gate), input_size=32, channels=1, head="none") for gate in (True, False))
    one, other = View.of(gated, "second"), View.of(plain, "second")
    assert str(gated.layers["second"].receptive_field) == "whole image"
    assert one.field == other.field == plain.layers["second"].receptive_field
    assert one.span(2, 3) == other.span(2, 3) == (4, 8, 13, 17)
    assert not one.whole
    assert one.note == f"{other.note}; what it sees is scaled by numbers from all of the picture"
    assert View.of(gated, "squeeze").whole


def test_a_field_larger_than_the_picture_is_shown_where_it_lies() -> None:
    view = larger()
    assert view.whole
    assert view.span(0, 0) == (0, 0, 30, 30)
    assert view.seen(0, 0) == (0, 0, 21, 21)
    assert view.mark(0, 4) == (0, 21, 4, 28)
    assert view.note == "each unit sees 41 pixels around its place, the frame; grey is what it doesn't see"
    white = Image.new("RGB", (30, 30), "white")
    tile = np.asarray(crop(white, Placement((30, 30), (30, 30), (0, 0)), view, (0, 0), cell=60))
    assert (tile[50:, :] == UNSEEN).all()
    assert (tile[20:42, 20:42] == 255).all()


def test_where_every_unit_sees_the_whole_picture_none_is_said_to_miss_some() -> None:
    axis = Sight.of_pixels(30).through(Window.sliding(91, 6, 45), 30)
    view = View((30, 30), (1, 5, 5), ReceptiveField(axis, axis))
    assert all(view.seen(row, column) == (0, 0, 30, 30) for row in range(5) for column in range(5))
    assert view.note == "each unit sees all 30×30 pixels (it reaches 91); the frame marks its place"


def test_without_a_graph_nothing_is_promised() -> None:
    view = View((30, 30), (8, 3, 3), None)
    assert view.mark(1, 1) == (10, 10, 20, 20)
    assert "can't be told" in view.note
    assert View((30, 30), (8,), None).mark(0, 0) is None


def test_a_unit_on_padding_alone_sees_nothing_of_the_picture() -> None:
    network = cs.Network(nn.Conv2d(1, 1, 3), input_size=(40, 40), channels=1, head="none", fit="pad")
    placement = placement_of(network, (10, 40))
    view = View.of(network, next(iter(network.layers)))
    box = placement.original_box(view.seen(0, 0))
    assert box[0] == box[2]
    tile = np.asarray(crop(to_picture(torch.ones(1, 10, 40)), placement, view, (0, 0), cell=30))
    assert (tile == UNSEEN).all()


@settings(deadline=None, max_examples=40)
@given(sizes, st.sampled_from(FITS), st.integers(0, 6), st.integers(0, 8), st.integers(5, 80))
def test_every_unit_of_every_picture_has_a_tile_of_the_same_size(
    size: tuple[int, int], fit: Fit, row: int, column: int, cell: int
) -> None:
    network = cs.Network(
        nn.Sequential(nn.Conv2d(1, 1, 3, 2, 1), nn.Conv2d(1, 1, (5, 3), 2, 1)),
        input_size=(28, 36), channels=1, fit=fit, head="none",
    )  # fmt: skip
    view, image = View.of(network, "1"), torch.rand(1, *size)
    row = min(row, view.shape[1] - 1)
    tile = crop(to_picture(image), placement_of(network, size), view, (row, column), cell=cell)
    assert tile.height == cell
    assert tile.width == max(1, round(cell * 7 / 11))
