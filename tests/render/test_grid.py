import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops

from convscope.errors import ImageError
from convscope.render import text
from convscope.render.grid import MARGIN, even_columns, fit, fitted_size, grid, rows, stack, title_strip

LABEL = text.line_height(11) + 2
TITLE = text.line_height(15)
RED, GREEN, BLUE = (255, 0, 0), (0, 128, 0), (0, 0, 255)


def plain(width: int, height: int, colour: tuple[int, int, int] = RED) -> Image.Image:
    return Image.new("RGB", (width, height), colour)


def test_size_of_a_grid() -> None:
    pictures = [plain(50, 30)] * 6
    across, down = 3 * 52 + 2 * 4, 2 * 32 + 4
    assert grid(pictures, columns=3).size == (across + 2 * MARGIN, down + 2 * MARGIN)
    labelled = grid(pictures, labels=list("abcdef"), columns=3)
    assert labelled.size == (across + 2 * MARGIN, down + 2 * LABEL + 2 * MARGIN)
    titled = grid(pictures, columns=3, title="title")
    assert titled.size == (across + 2 * MARGIN, TITLE + 6 + down + 2 * MARGIN)


def test_pictures_stand_row_by_row_unchanged() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)
    pictures = [plain(50, 30, RED), Image.fromarray(noise), plain(50, 30, BLUE)]
    sheet = grid(pictures, columns=2)
    first, second, third = (MARGIN + 1, MARGIN + 1), (MARGIN + 57, MARGIN + 1), (MARGIN + 1, MARGIN + 37)
    assert sheet.getpixel(first) == RED
    assert np.array_equal(np.asarray(sheet.crop((*second, second[0] + 50, second[1] + 30))), noise)
    assert sheet.getpixel(third) == BLUE
    assert sheet.getpixel((second[0], third[1])) == (255, 255, 255)


def test_cells_fit_pictures_of_any_size_and_mode() -> None:
    assert fit(plain(7, 14), 30).size == (14, 28)
    assert fit(plain(60, 30), 30).size == (30, 15)
    assert fit(plain(1000, 1), 30).size == (30, 1)
    assert fit(Image.new("L", (8, 8)), None).mode == "RGB"
    checks = Image.fromarray(np.indices((4, 4)).sum(axis=0).astype(np.uint8) % 2 * 255)
    assert set(np.unique(np.asarray(fit(checks, 40)))) == {0, 255}
    assert grid([plain(7, 7), plain(90, 30), Image.new("P", (30, 90))], columns=3, cell=45).size == (
        3 * 47 + 2 * 4 + 2 * MARGIN,
        47 + 2 * MARGIN,
    )


@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 400))
@settings(max_examples=80, deadline=None)
def test_what_is_fitted_stays_in_its_cell(height: int, width: int, cell: int) -> None:
    tall, wide = fitted_size(height, width, cell)
    assert 1 <= max(tall, wide) <= cell
    if max(height, width) <= cell:
        assert tall % height == 0
        assert wide % width == 0
        assert max(tall, wide) > cell // 2


@given(st.integers(1, 3000))
@settings(max_examples=80, deadline=None)
def test_columns_are_sensible(count: int) -> None:
    columns = even_columns(count)
    assert 1 <= columns <= count
    assert -(-count // columns) <= 2 * columns


def test_long_labels_end_within_their_cell() -> None:
    short = grid([plain(60, 30)] * 2, labels=["", ""], columns=2)
    long = grid([plain(60, 30)] * 2, labels=["", "golden retriever " * 9], columns=2)
    assert long.size == short.size
    changed = ImageChops.difference(short, long).getbbox()
    assert changed is not None
    assert changed[0] >= MARGIN + 62 + 4
    assert changed[2] <= short.width - MARGIN + 1


def test_tiny_cells_tell_only_the_first_label_of_each_row() -> None:
    numbers = [str(each) for each in range(1280)]
    sheet = grid([plain(21, 21)] * 1280, labels=numbers, columns=40)
    gutter = text.width("1240", 11) + 6
    assert sheet.size == (gutter + 40 * 24 - 1 + 2 * MARGIN, 32 * 24 - 1 + 2 * MARGIN)


def test_size_of_rows() -> None:
    wide = [("cat", [plain(50, 30)] * 3), ("golden retriever", [plain(50, 40)] * 2)]
    gutter = text.width("golden retriever", 11) + 6
    across, down = gutter + 3 * 52 + 2 * 4, 32 + 42 + 4
    assert rows(wide).size == (across + 2 * MARGIN, down + 2 * MARGIN)
    titled = rows(wide, column_labels=["a", "b", "c"], title="rules")
    assert titled.size == (across + 2 * MARGIN, TITLE + 6 + LABEL + down + 2 * MARGIN)
    assert rows([("x" * 500, [plain(50, 30)])]).width == 160 + 52 + 2 * MARGIN


def test_rows_without_names_have_no_gutter() -> None:
    assert rows([("", [plain(50, 30, GREEN)]), ("", [])]).getpixel((MARGIN + 7, MARGIN + 1)) == GREEN


def test_a_title_is_told_once_and_nothing_of_nothing() -> None:
    assert title_strip(None) is None
    assert title_strip("") is None
    strip = title_strip("long " * 200)
    assert strip is not None
    assert strip.width <= 480
    assert stack(None, plain(5, 5)).size == (5 + 2 * MARGIN, 5 + 2 * MARGIN)


def test_the_same_pictures_give_the_same_figure() -> None:
    made = [grid([plain(50, 30)] * 5, labels=list("abcde"), title="t").tobytes() for _ in range(2)]
    assert made[0] == made[1]


def test_what_is_refused() -> None:
    with pytest.raises(ImageError, match="no pictures"):
        grid([])
    with pytest.raises(ImageError, match="2 labels for 1 pictures"):
        grid([plain(5, 5)], labels=["a", "b"])
    with pytest.raises(ImageError, match="0 columns"):
        grid([plain(5, 5)], columns=0)
    with pytest.raises(ImageError, match="cells of 0 pixels"):
        grid([plain(5, 5)], cell=0)
    with pytest.raises(ImageError, match="rows of no pictures"):
        rows([("cat", [])])
    with pytest.raises(ImageError, match="1 column labels for 2 columns"):
        rows([("cat", [plain(5, 5)] * 2)], column_labels=["a"])
