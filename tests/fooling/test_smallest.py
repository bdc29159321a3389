"""Carlini-Wagner and box L-BFGS: near the smallest change there is, from anywhere, with black and white."""

import pytest
import torch
from tests.fooling.attacked import affine, curved, pictures, targets_of
from torch import Tensor

import convscope as cs
from convscope.errors import ImageError
from convscope.fooling import carlini_wagner as module
from convscope.fooling.smallest import Smallest, Weights


@pytest.mark.parametrize("name", ["carlini_wagner", "box_lbfgs"])
def test_close_to_the_projection_where_that_is_known(name: str) -> None:
    images = 0.4 + 0.2 * pictures(4, seed=21)
    known = cs.deep_fool(affine(), images, overshoot=1e-6).norms_before_rounding.l2
    if name == "carlini_wagner":
        found, near = cs.carlini_wagner(affine(), images, searches=9, steps=200, rate=0.003), 1.25
    else:
        # Its loss looks to all classes, not to the nearest border alone.
        found, near = cs.box_lbfgs(affine(), images, searches=10, steps=15), 1.8
    ratio = found.norms_before_rounding.l2 / known
    assert float(ratio.min()) > 1 - 1e-5
    assert float(ratio.max()) < near
    assert bool(found.successes.all())


def test_black_and_white_move() -> None:
    images = pictures(4, seed=22).round()
    assert set(images.flatten().tolist()) == {0.0, 1.0}
    result = cs.carlini_wagner(curved(), images, searches=2, steps=200, rate=0.1, weight=10.0)
    assert bool(result.successes.all())
    # All that there is, is at an end of the box: what has moved was there.
    assert float((result.exact - images).abs().amax()) > 1 / 255
    assert bool(((result.exact >= 0) & (result.exact <= 1)).all())


def slowly(network: cs.Network, x: Tensor, target: int, c: float, steps: int, rate: float) -> Tensor:
    """One search, by torch's own Adam: the nearest that succeeded."""
    w = torch.atanh(0.999999 * (2 * x - 1)).requires_grad_()
    origin = (torch.tanh(w.detach()) + 1) / 2
    adam = torch.optim.Adam([w], lr=rate)
    best, least = x, float("inf")
    for _ in range(steps):
        y = (torch.tanh(w) + 1) / 2
        z = network.module(network.normalize(y[None]))[0]
        rest = torch.cat([z[:target], z[target + 1 :]]).max()
        far = float(((y.detach() - x) ** 2).sum())
        if bool(z[target] > rest) and far < least:
            best, least = y.detach(), far
        loss = ((y - origin) ** 2).sum() + c * torch.clamp(rest - z[target], min=0)
        (w.grad,) = torch.autograd.grad(loss, w)
        adam.step()
    return best


def test_one_search_is_that_of_a_slow_twin(monkeypatch: pytest.MonkeyPatch) -> None:
    # The twin goes on to the end, whether or not anything is gained.
    monkeypatch.setattr(module, "_ASKED", 1)
    images = pictures(2, seed=23)
    targets = targets_of(curved(), images)
    result = cs.carlini_wagner(curved(), images, target=targets, searches=1, steps=9, rate=0.2, weight=5.0)
    for number, x in enumerate(images):
        twin = slowly(curved(), x, targets[number], 5.0, 9, 0.2)
        torch.testing.assert_close(result.exact[number], twin, atol=1e-6, rtol=0)


def test_more_confidence_is_had_at_more_length() -> None:
    images = pictures(3, seed=24)
    plain, sure = (
        cs.carlini_wagner(affine(), images, searches=4, steps=80, confidence=each, weight=1.0) for each in (0.0, 2.0)
    )
    margins = [each.topk(2).values for each in affine().logits(sure.exact)]
    assert min(float(each[0] - each[1]) for each in margins) >= 2
    assert bool((sure.norms_before_rounding.l2 > plain.norms_before_rounding.l2).all())


def test_what_never_succeeds_stays_as_it_was() -> None:
    images = pictures(2, seed=25)
    result = cs.carlini_wagner(curved(), images, searches=1, steps=2, weight=1e-9)
    assert torch.equal(result.exact, images)
    assert not result.successes.any()


def test_weights_close_in_on_the_border() -> None:
    weights = Weights(1.0, torch.zeros(2, 1))
    border = torch.tensor([0.3, 700.0])
    for _ in range(14):
        weights.judge(weights.now >= border)
    torch.testing.assert_close(weights.now, border, rtol=0.01, atol=0)


def test_the_nearest_is_kept() -> None:
    starts = torch.zeros(2, 1, 1, 1)
    smallest = Smallest(starts)
    for value in (0.5, 0.2, 0.4):
        smallest.note(torch.tensor([1]), torch.full((1, 1, 1, 1), value))
    assert smallest.images.flatten().tolist() == pytest.approx([0, 0.2])


def test_bad_options() -> None:
    image = pictures(1)[0]
    for options in ({"rate": 0.0}, {"weight": -1.0}, {"confidence": -1.0}, {"searches": 0}, {"steps": 0}):
        with pytest.raises(ImageError, match="expected"):
            cs.carlini_wagner(curved(), image, **options)
    with pytest.raises(ImageError, match="weight=nan"):
        cs.box_lbfgs(curved(), image, weight=float("nan"))
