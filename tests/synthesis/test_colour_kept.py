"""Colours that are kept: chroma and luminance, means and covariances."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from convscope.synthesis.colour_kept import like_luminance, luminance, with_chroma_of, with_colours_of
from convscope.synthesis.objectives.statistics import gaussian

seeds = st.integers(0, 9999)


def image(seed: int, rows: int = 6, columns: int = 7) -> Tensor:
    return torch.rand(3, rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def chroma(one: Tensor) -> Tensor:
    return one - luminance(one)


def test_luminance_is_that_of_rec_601() -> None:
    red, green, blue = one = image(0)
    expected = 0.299 * red + 0.587 * green + 0.114 * blue
    torch.testing.assert_close(luminance(one), expected.expand(3, -1, -1))


@given(seeds)
@settings(max_examples=30, deadline=None)
def test_chroma_is_the_contents_and_luminance_as_near_as_can_be(seed: int) -> None:
    content, other = image(seed), image(seed + 1)
    made = with_chroma_of(content, other)
    assert made.min() > -1e-12
    assert made.max() < 1 + 1e-12
    torch.testing.assert_close(chroma(made), chroma(content))
    room = (made > 1e-9).all(dim=0) & (made < 1 - 1e-9).all(dim=0)
    torch.testing.assert_close(luminance(made)[:, room], luminance(other)[:, room])
    torch.testing.assert_close(with_chroma_of(content, content), content)


def test_the_luminance_of_a_grey_picture_is_free() -> None:
    other = image(1)
    torch.testing.assert_close(with_chroma_of(luminance(image(0)), other), luminance(other))


@given(seeds)
@settings(max_examples=30, deadline=None)
def test_colours_have_the_contents_mean_and_covariance(seed: int) -> None:
    content, style = 0.3 * image(seed) + 0.4, image(seed + 1, 5, 9)
    style[0] = 0.5 * style[0] + 0.5 * style[1]
    moved = gaussian(with_colours_of(content, style)[None])
    for one, other in zip(moved, gaussian(content[None]), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_colours_that_fit_already_stay() -> None:
    content = image(3)
    torch.testing.assert_close(with_colours_of(content, content), content, rtol=1e-4, atol=1e-5)


def test_a_style_of_one_colour_takes_the_mean() -> None:
    moved = with_colours_of(image(1), torch.full((3, 4, 4), 0.2, dtype=torch.float64))
    torch.testing.assert_close(moved, image(1).mean(dim=(1, 2), keepdim=True).expand(3, 4, 4))


def test_luminance_with_the_contents_mean_and_deviation() -> None:
    content, made = luminance(image(1)), like_luminance(0.2 * image(2), image(1))
    assert float(made.mean()) == pytest.approx(float(content.mean()))
    assert float(made.std(correction=0)) == pytest.approx(float(content.std(correction=0)))
    assert like_luminance(torch.full((3, 2, 2), 0.5), image(1).float()).isfinite().all()
