"""Cards side by side and line below line, as words are on a page."""

import math
from collections.abc import Sequence

from PIL import Image

from convscope.render.text import PAPER

_SHAPE = 7 / 6
"""How many times as wide as high a sheet is at best: between a square and 4:3."""


def flowed(cards: Sequence[Image.Image], *, gap: int) -> Image.Image:
    """Cards of any width in their order, `gap` pixels apart, on a sheet that is nearly square: at best 7:6.

    >>> flowed([Image.new("RGB", (60, 100))] * 12, gap=0).size
    (300, 300)
    """
    sizes = [card.size for card in cards]
    lines = min(
        (_lines(sizes, gap, width) for width in _widths(sizes, gap)), key=lambda each: _unlike(each, sizes, gap)
    )
    sheet = Image.new("RGB", _extent(lines, sizes, gap), PAPER)
    top = 0
    for line in lines:
        left = 0
        for at in line:
            sheet.paste(cards[at], (left, top))
            left += cards[at].width + gap
        top += max(cards[at].height for at in line) + gap
    return sheet


def _widths(sizes: Sequence[tuple[int, int]], gap: int) -> list[int]:
    """Of the sheets worth trying: as wide as the first cards together, and as the widest."""
    widest, ends, end = max(width for width, _ in sizes), [], -gap
    for width, _ in sizes:
        end += width + gap
        ends.append(max(end, widest))
    return sorted(set(ends))


def _lines(sizes: Sequence[tuple[int, int]], gap: int, width: int) -> list[list[int]]:
    """Which cards are in each line, none wider than `width`."""
    lines: list[list[int]] = [[]]
    taken = 0
    for at, (own, _) in enumerate(sizes):
        if lines[-1] and taken + own > width:
            lines.append([])
            taken = 0
        lines[-1].append(at)
        taken += own + gap
    return lines


def _extent(lines: Sequence[Sequence[int]], sizes: Sequence[tuple[int, int]], gap: int) -> tuple[int, int]:
    width = max(sum(sizes[at][0] + gap for at in line) for line in lines) - gap
    return width, sum(max(sizes[at][1] for at in line) + gap for line in lines) - gap


def _unlike(lines: Sequence[Sequence[int]], sizes: Sequence[tuple[int, int]], gap: int) -> float:
    """How far a sheet is from the best shape."""
    width, height = _extent(lines, sizes, gap)
    return abs(math.log(width / height / _SHAPE))
