import numpy as np
import pytest
from PIL import Image

from convscope.errors import ImageError
from convscope.render.colours import DIVERGING, INVALID, SEQUENTIAL, Scale
from convscope.render.heatmap import heatmap, readable_size, resample
from convscope.render.legend import LEGEND_HEIGHT


def pixels(picture: Image.Image) -> list[list[list[int]]]:
    assert picture.mode == "RGB"
    found: list[list[list[int]]] = np.asarray(picture).tolist()
    return found


def test_a_small_map_shows_its_pixels() -> None:
    values = np.random.default_rng(0).uniform(size=(7, 14))
    picture = heatmap(values, size=(70, 140))
    assert picture.size == (140, 70)
    assert np.array_equal(np.asarray(picture), np.kron(Scale.of(values).colour(values), np.ones((10, 10, 1), np.uint8)))


def test_a_small_map_is_enlarged_by_a_whole_factor() -> None:
    assert heatmap(np.ones((7, 7))).size == (224, 224)
    assert heatmap(np.ones((1, 1))).size == (224, 224)
    assert heatmap(np.ones((15, 20))).size == (220, 165)
    assert heatmap(np.ones((300, 200))).size == (200, 300)
    assert readable_size(224, 224) == (224, 224)


def test_ends_of_the_scale_have_the_ends_of_the_map() -> None:
    signed = pixels(heatmap([[-1.0, 0.0, 1.0]], size=(1, 3)))
    assert signed == [[DIVERGING[0].tolist(), DIVERGING[127].tolist(), DIVERGING[255].tolist()]]
    magnitudes = pixels(heatmap([[0.0, 5.0]], size=(1, 2)))
    assert magnitudes == [[SEQUENTIAL[0].tolist(), SEQUENTIAL[255].tolist()]]
    given = pixels(heatmap([[0.0, 5.0]], size=(1, 2), scale=Scale(0.0, 1000.0)))
    assert given == [[SEQUENTIAL[0].tolist(), SEQUENTIAL[1].tolist()]]


def test_a_reduced_map_is_averaged_before_it_is_coloured() -> None:
    board = np.indices((64, 64)).sum(axis=0) % 2 * 2.0 - 1
    assert np.abs(np.asarray(heatmap(board, size=(16, 16))).astype(int) - DIVERGING[127]).max() <= 4


def test_smooth_lies_between_its_pixels() -> None:
    position = np.array([[0.0, 1.0]])
    smooth = resample(position, (1, 100), smooth=True)[0]
    assert (np.diff(smooth) >= 0).all()
    assert smooth[50] == pytest.approx(0.5, abs=0.02)
    assert set(resample(position, (1, 100), smooth=False)[0]) == {0.0, 1.0}


@pytest.mark.parametrize("size", [(4, 4), (12, 12), (2, 2), (9, 2)])
@pytest.mark.parametrize("smooth", [True, False])
def test_a_constant_stays_one(size: tuple[int, int], smooth: bool) -> None:
    np.testing.assert_allclose(resample(np.full((4, 4), 0.3), size, smooth=smooth), np.full(size, 0.3), atol=1e-6)


@pytest.mark.parametrize("smooth", [True, False])
def test_what_is_not_finite_is_grey_and_taints_nothing(smooth: bool) -> None:
    values = np.full((4, 4), 1.0)
    values[0, 0], values[0, 1] = np.nan, np.inf
    picture = heatmap(values, size=(80, 80), smooth=smooth)
    assert picture.getpixel((2, 2)) == INVALID
    assert picture.getpixel((30, 5)) == INVALID
    assert set(map(tuple, np.asarray(picture).reshape(-1, 3).tolist())) == {INVALID, tuple(SEQUENTIAL[255].tolist())}
    assert heatmap(np.full((3, 3), np.nan), legend="logit").getpixel((9, 9)) == INVALID


def test_a_legend_is_added_below() -> None:
    plain = heatmap(np.eye(7))
    told = heatmap(np.eye(7), legend="activation")
    assert told.size == (224, 224 + LEGEND_HEIGHT)
    assert np.array_equal(np.asarray(told)[:224], np.asarray(plain))
    assert heatmap(np.eye(7), size=(50, 50), legend="").size == (120, 50 + LEGEND_HEIGHT)


def test_the_same_numbers_give_the_same_picture() -> None:
    values = np.random.default_rng(1).normal(size=(9, 9))
    assert heatmap(values, legend="logit").tobytes() == heatmap(values.copy(), legend="logit").tobytes()


@pytest.mark.parametrize("shape", [(3, 4, 4), (4,), (0, 4)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError, match=r"expected \(height, width\)"):
        heatmap(np.zeros(shape))
