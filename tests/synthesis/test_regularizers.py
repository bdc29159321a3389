"""Each regularizer does what it says, measured on the picture."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from convscope.synthesis.regularizers.alpha_norm import AlphaNorm
from convscope.synthesis.regularizers.blur import Blur, blurred
from convscope.synthesis.regularizers.clip_contribution import ClipContribution
from convscope.synthesis.regularizers.clip_gradient import ClipGradient
from convscope.synthesis.regularizers.clip_norm import ClipNorm
from convscope.synthesis.regularizers.decay import Decay
from convscope.synthesis.regularizers.regularizer import Adjustment
from convscope.synthesis.regularizers.total_variation import TotalVariation, total_variation


def deviation(seed: int = 0, side: int = 12) -> Tensor:
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) / 4


def high_frequencies(images: Tensor) -> float:
    spectrum = torch.fft.rfft2(images).abs().square()
    rows = torch.fft.fftfreq(images.shape[-2]).abs()[:, None]
    columns = torch.fft.rfftfreq(images.shape[-1])
    return float(spectrum[..., torch.maximum(rows, columns.expand(len(rows), -1)) > 0.25].sum())


def test_decay_takes_its_part_of_the_norm() -> None:
    x = deviation()
    assert Decay(0.1).adjust(x, x).norm() == pytest.approx(0.9 * float(x.norm()))


def test_blur_takes_high_frequencies_and_leaves_the_mean() -> None:
    x = deviation()
    soft = Blur(1.0).adjust(x, x)
    assert high_frequencies(soft) < 0.05 * high_frequencies(x)
    flat = torch.full_like(x, 0.3)
    torch.testing.assert_close(blurred(flat, 2.0), flat)
    assert torch.equal(blurred(x, 0), x)


def test_blur_is_a_gaussian() -> None:
    """Twin: each place the weighted mean of all others, edges repeated."""
    x = deviation(side=5)[:1, :1]
    reach, sigma = 4, 1.0
    weights = [torch.exp(torch.tensor(-0.5 * (d / sigma) ** 2)).item() for d in range(-reach, reach + 1)]
    expected = torch.zeros_like(x)
    for r in range(5):
        for c in range(5):
            for i, a in enumerate(weights):
                for j, b in enumerate(weights):
                    row, column = min(max(r + i - reach, 0), 4), min(max(c + j - reach, 0), 4)
                    expected[0, 0, r, c] += a * b * x[0, 0, row, column] / sum(weights) ** 2
    torch.testing.assert_close(blurred(x, sigma), expected)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_clipping_makes_pixels_grey_by_their_own_measure(share: float) -> None:
    x, g = deviation(), deviation(1)
    strengths: dict[Adjustment, Tensor] = {
        ClipNorm(share): x.norm(dim=1),
        ClipGradient(share): g.norm(dim=1),
        ClipContribution(share): (x * g).sum(dim=1).abs(),
    }
    for part, strength in strengths.items():
        clipped = part.adjust(x, g)
        grey = (clipped == 0).all(dim=1)
        assert grey.flatten(1).sum(dim=1).tolist() == [round(share * 144)] * 2
        assert torch.equal(clipped.where(grey[:, None], x), clipped.where(grey[:, None], clipped))
        for one, strong in zip(grey, strength, strict=True):
            if one.any() and not one.all():
                assert strong[one].max() <= strong[~one].min()


def test_total_variation_is_a_mean_of_steps() -> None:
    """Twin: place by place."""
    x = deviation(side=4)
    for beta in (2.0, 1.0, 3.0):
        expected = torch.zeros(2, dtype=torch.float64)
        for n in range(2):
            for c in range(3):
                for i in range(4):
                    for j in range(4):
                        down = x[n, c, i + 1, j] - x[n, c, i, j] if i < 3 else 0.0
                        right = x[n, c, i, j + 1] - x[n, c, i, j] if j < 3 else 0.0
                        expected[n] += (down**2 + right**2) ** (beta / 2) / 48
        torch.testing.assert_close(total_variation(x, beta), expected, rtol=1e-5, atol=1e-8)


@given(st.integers(2, 5))
def test_total_variation_does_not_depend_on_the_size(times: int) -> None:
    x = deviation(side=6)
    stretched = x.repeat(1, 1, times, times)
    inner = total_variation(stretched)
    assert torch.allclose(inner, total_variation(torch.cat([x, x[:, :, :1]], 2)), rtol=0.5)


def test_penalties_scale_with_their_weight() -> None:
    x = deviation()
    torch.testing.assert_close(TotalVariation(3.0).penalty(x), 3 * TotalVariation(1.0).penalty(x))
    torch.testing.assert_close(AlphaNorm(3.0).penalty(x), 3 * AlphaNorm(1.0).penalty(x))


def test_alpha_norm_costs_what_leaves_the_range() -> None:
    inside, outside = torch.full((1, 3, 2, 2), 0.25), torch.full((1, 3, 2, 2), 1.0)
    assert float(AlphaNorm().penalty(inside)) == pytest.approx(0.5**6)
    assert float(AlphaNorm().penalty(outside)) == pytest.approx(2.0**6)


@pytest.mark.parametrize("penalty", [TotalVariation(), TotalVariation(beta=1.0), TotalVariation(beta=3.0), AlphaNorm()])
def test_gradients_of_penalties(penalty: TotalVariation | AlphaNorm) -> None:
    assert torch.autograd.gradcheck(penalty.penalty, deviation(side=4).requires_grad_())


def test_penalties_are_no_adjustments() -> None:
    assert not isinstance(TotalVariation(), Adjustment)
    assert isinstance(Decay(), Adjustment)
