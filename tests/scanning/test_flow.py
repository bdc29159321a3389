"""Cards on a sheet: laws."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from convscope.scanning.flow import flowed

SIZES = st.lists(st.tuples(st.integers(3, 40), st.integers(3, 40)), min_size=1, max_size=20)


@given(sizes=SIZES, gap=st.integers(0, 6))
@settings(deadline=None)
def test_each_card_stays_whole_in_its_order(sizes: list[tuple[int, int]], gap: int) -> None:
    cards = [Image.new("RGB", size, (at + 1, 0, 0)) for at, size in enumerate(sizes)]
    sheet = np.asarray(flowed(cards, gap=gap))
    corners = []
    for at, (width, height) in enumerate(sizes):
        down, across = np.nonzero((sheet == (at + 1, 0, 0)).all(axis=2))
        assert len(down) == width * height
        assert (int(np.ptp(across)) + 1, int(np.ptp(down)) + 1) == (width, height)
        corners.append((down.min(), across.min()))
    assert corners == sorted(corners)


@given(count=st.integers(6, 60), width=st.integers(20, 60), gap=st.integers(0, 6))
@settings(deadline=None)
def test_a_sheet_of_equal_cards_is_nearly_square(count: int, width: int, gap: int) -> None:
    sheet = flowed([Image.new("RGB", (width, 40))] * count, gap=gap)
    assert 0.6 < sheet.width / sheet.height < 2.1
