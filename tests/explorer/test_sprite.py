import io

import numpy as np
import pytest
import torch
from PIL import Image

from convscope.explorer.sprite import LEVELS, map_png, sprite
from convscope.render.colours import INVALID, Scale


def _pixels(png: bytes) -> tuple[np.ndarray, Image.Image]:
    picture = Image.open(io.BytesIO(png))
    assert picture.mode == "P"
    return np.asarray(picture), picture


def _cells(png: bytes, rows: int, columns: int, across: int) -> list[np.ndarray]:
    sheet, _ = _pixels(png)
    return [
        sheet[top : top + rows, left : left + columns]
        for top in range(0, sheet.shape[0], rows)
        for left in range(0, across * columns, columns)
    ]


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_a_pixel_tells_its_value(signed: bool, shared: bool) -> None:
    maps = torch.rand(7, 5, 4) * torch.arange(1, 8)[:, None, None] - (3 if signed else 0)
    drawn = sprite(maps, shared=shared)
    assert drawn.diverging == signed
    assert (len(set(drawn.highs)) == 1) == shared
    for channel, cell in enumerate(_cells(drawn.png, 5, 4, drawn.across)[:7]):
        low, high = drawn.lows[channel], drawn.highs[channel]
        told = low + (high - low) * cell.astype(np.float64) / LEVELS
        assert np.abs(told - maps[channel].numpy()).max() <= (high - low) / LEVELS / 2 + 1e-6


def test_large_maps_are_averaged() -> None:
    maps = torch.rand(3, 96, 48)
    drawn = sprite(maps, shared=True, cell=32)
    assert (drawn.rows, drawn.columns) == (32, 16)
    means = maps.reshape(3, 32, 3, 16, 3).mean((2, 4))
    for channel, cell in enumerate(_cells(drawn.png, 32, 16, drawn.across)[:3]):
        assert np.abs(cell / LEVELS * drawn.highs[0] - means[channel].numpy()).max() < 0.003


def test_colours_are_those_of_the_scale() -> None:
    for values, scale in ((torch.linspace(0, 2, 9), Scale(0.0, 2.0)), (torch.linspace(-2, 2, 9), Scale(-2.0, 2.0))):
        _, picture = _pixels(map_png(values[None], scale))
        seen = np.asarray(picture.convert("RGB")).astype(int)
        assert np.abs(seen - scale.colour(values[None].numpy())).max() <= 3


def test_what_is_no_number_is_grey_and_dead_channels_are_dark() -> None:
    maps = torch.zeros(2, 3, 3)
    maps[0, 1, 1] = torch.nan
    maps[0, 0, 0] = torch.inf
    drawn = sprite(maps, shared=False)
    assert drawn.highs == (1.0, 1.0)
    _, picture = _pixels(drawn.png)
    assert picture.convert("RGB").getpixel((1, 1)) == INVALID
    assert picture.convert("RGB").getpixel((0, 0)) == INVALID
    assert (np.asarray(picture)[:, 3 * (drawn.across - 1) :] == 0).any()


@pytest.mark.parametrize("signed", [False, True])
def test_cells_without_a_channel_look_like_0(signed: bool) -> None:
    maps = torch.rand(5, 4, 4) - (0.5 if signed else 0)
    drawn = sprite(maps, shared=True)
    *_, last = _cells(drawn.png, 4, 4, drawn.across)
    assert drawn.across == 2
    assert (drawn.lows[0] + (drawn.highs[0] - drawn.lows[0]) * last / LEVELS == 0).all()


def test_a_vector_is_a_sprite_of_single_pixels() -> None:
    drawn = sprite(torch.rand(1280, 1, 1), shared=True)
    assert drawn.rows == drawn.columns == 1
    assert abs(drawn.across - 36) <= 1
