import numpy as np
import pytest
import torch
from PIL import Image, ImageChops

from convscope.errors import ImageError
from convscope.render.channels import channel_grid
from convscope.render.colours import DIVERGING, INVALID, SEQUENTIAL
from convscope.render.grid import MARGIN

MAPS = np.stack([np.full((7, 7), 1.0), np.full((7, 7), 4.0)])


def cells(picture: Image.Image) -> list[tuple[int, ...]]:
    """The colours at the middle of the two cells of 49 pixels, which are the last thing in the figure."""
    array = np.asarray(picture)
    y = picture.height - MARGIN - 17 - 26
    return [tuple(array[y, MARGIN + 26].tolist()), tuple(array[y, MARGIN + 26 + 55].tolist())]


def test_a_shared_scale_compares_channels() -> None:
    shared = cells(channel_grid(MAPS, shared=True, columns=2, cell=50))
    assert shared == [tuple(SEQUENTIAL[64].tolist()), tuple(SEQUENTIAL[255].tolist())]
    own = cells(channel_grid(MAPS, shared=False, columns=2, cell=50))
    assert own == [tuple(SEQUENTIAL[255].tolist())] * 2


def test_one_negative_value_makes_every_channel_signed() -> None:
    signed = MAPS.copy()
    signed[0, 0, 0] = -2.0
    own = cells(channel_grid(signed, shared=False, columns=2, cell=50))
    assert own == [tuple(DIVERGING[191].tolist()), tuple(DIVERGING[255].tolist())]


def test_the_figure_says_which_scale_it_is() -> None:
    same = MAPS[[1, 1]]
    shared, own = (channel_grid(same, shared=each, columns=2, cell=50, title="stem") for each in (True, False))
    assert cells(shared) == cells(own)
    assert shared.tobytes() != own.tobytes()
    other_unit = channel_grid(same, shared=True, columns=2, cell=50, title="stem", unit="weight")
    assert ImageChops.difference(shared, other_unit).getbbox() is not None


def test_dead_and_broken_channels_are_drawn() -> None:
    maps = np.zeros((2, 7, 7))
    maps[1] = np.nan
    assert cells(channel_grid(maps, shared=False, columns=2, cell=50)) == [tuple(SEQUENTIAL[0].tolist()), INVALID]
    assert channel_grid(np.full((3, 2, 2), np.nan), shared=True).mode == "RGB"


@pytest.mark.parametrize(("count", "side"), [(1, 7), (16, 14), (96, 28), (24, 112), (1280, 7), (3, 500)])
def test_any_layer_fits_a_screen(count: int, side: int) -> None:
    picture = channel_grid(np.zeros((count, side, side)), shared=True, title="layer")
    assert picture.width <= 1280
    assert picture.height <= 1280


def test_labels_and_tensors() -> None:
    named = channel_grid(torch.from_numpy(MAPS), shared=True, labels=["edge", "spot"], columns=2, cell=50)
    assert ImageChops.difference(named, channel_grid(MAPS, shared=True, columns=2, cell=50)).getbbox() is not None
    with pytest.raises(ImageError, match="1 labels for 2 pictures"):
        channel_grid(MAPS, shared=True, labels=["edge"])


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ImageError, match=r"expected \(channels, height, width\)"):
        channel_grid(MAPS[None], shared=True)
