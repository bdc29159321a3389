import numpy as np
import pytest
import torch
from skimage import data

from convscope.errors import ImageError
from convscope.render.colours import SEQUENTIAL, Scale
from convscope.render.legend import LEGEND_HEIGHT
from convscope.render.overlay import overlay

CAT = data.chelsea()[::2, ::2].transpose(2, 0, 1) / 255  # type: ignore[no-untyped-call]
HEIGHT, WIDTH = CAT.shape[1:]


def test_the_photograph_shows_where_the_map_says_nothing() -> None:
    values = np.zeros((HEIGHT, WIDTH))
    values[:, : WIDTH // 2] = 1.0
    bare = np.asarray(overlay(CAT, np.zeros((HEIGHT, WIDTH))))
    laid = np.asarray(overlay(CAT, values))
    assert laid.shape == (HEIGHT, WIDTH, 3)
    assert np.array_equal(laid[:, WIDTH // 2 :], bare[:, WIDTH // 2 :])
    assert not np.array_equal(laid[:, : WIDTH // 2], bare[:, : WIDTH // 2])


def test_the_photograph_beneath_is_paler_and_darker_but_the_same() -> None:
    photograph = CAT.transpose(1, 2, 0) * 255
    beneath = np.asarray(overlay(CAT, np.zeros((2, 2)))).astype(float)
    assert beneath.mean() < photograph.mean()
    assert np.ptp(beneath, axis=2).mean() < 0.5 * np.ptp(photograph, axis=2).mean()
    assert np.corrcoef(beneath.mean(axis=2).ravel(), photograph.mean(axis=2).ravel())[0, 1] > 0.98


def test_opacity_ends_at_strength() -> None:
    black = np.zeros((3, 4, 4))
    full = np.asarray(overlay(black, np.ones((4, 4)), strength=1.0))
    assert (full == SEQUENTIAL[255]).all()
    half = np.asarray(overlay(black, np.ones((4, 4)), strength=0.5)).astype(float)
    np.testing.assert_allclose(half, np.broadcast_to(SEQUENTIAL[255] / 2, half.shape), atol=1)
    assert np.array_equal(np.asarray(overlay(CAT, np.ones((4, 4)), strength=0.0)), np.asarray(overlay(CAT, [[0.0]])))


def test_opacity_grows_with_the_magnitude_on_both_sides() -> None:
    white = np.ones((3, 1, 9))
    values = np.linspace(-1, 1, 9)[None]
    laid = np.asarray(overlay(white, values, smooth=False)).astype(float)[0]
    away = np.abs(laid - laid[4]).sum(axis=1)
    assert (np.diff(away[4:]) > 0).all()
    assert (np.diff(away[:5]) < 0).all()


def test_a_small_map_covers_the_whole_photograph() -> None:
    assert overlay(CAT, np.eye(7)).size == (WIDTH, HEIGHT)
    squares = np.asarray(overlay(np.zeros((3, 70, 70)), np.eye(7), smooth=False))
    assert len(np.unique(squares.reshape(-1, 3), axis=0)) == 2
    assert overlay(CAT, np.eye(7), legend="logit").size == (WIDTH, HEIGHT + LEGEND_HEIGHT)


def test_a_given_scale_makes_two_maps_comparable() -> None:
    faint = np.full((2, 2), 0.1)
    assert overlay(CAT, faint, scale=Scale(0.0, 1.0)).tobytes() != overlay(CAT, faint).tobytes()
    assert overlay(CAT, faint, scale=Scale(0.0, 0.1)).tobytes() == overlay(CAT, faint).tobytes()


def test_grey_and_many_banded_images_and_tensors() -> None:
    tensor = torch.from_numpy(CAT)
    assert overlay(tensor, torch.eye(7)).tobytes() == overlay(CAT, np.eye(7)).tobytes()
    grey = np.asarray(overlay(CAT[:1], np.zeros((2, 2))))
    assert (np.ptp(grey, axis=2) == 0).all()
    assert overlay(np.zeros((8, 5, 6)), [[0.0]]).size == (6, 5)


def test_what_is_not_finite_is_veiled_in_grey() -> None:
    values = np.array([[0.0, np.nan]])
    laid = np.asarray(overlay(np.zeros((3, 10, 20)), values, smooth=False, strength=1.0))
    assert laid[5, 15].tolist() == [140, 140, 140]
    assert laid[5, 5].tolist() == [0, 0, 0]
    assert overlay(np.full((3, 4, 4), np.nan), np.zeros((4, 4))).size == (4, 4)


def test_what_is_refused() -> None:
    with pytest.raises(ImageError, match=r"expected \(channels, height, width\)"):
        overlay(np.zeros((1, 3, 4, 4)), np.zeros((4, 4)))
    with pytest.raises(ImageError, match=r"expected \(height, width\)"):
        overlay(CAT, CAT)
    with pytest.raises(ImageError, match=r"strength 1\.5"):
        overlay(CAT, np.zeros((4, 4)), strength=1.5)
