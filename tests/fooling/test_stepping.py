"""FGSM, BIM and PGD against twins that follow the definitions, and against what is known of linear networks."""

import pytest
import torch
from tests.fooling.attacked import SIDE, affine, curved, pictures, targets_of
from torch import Tensor

import convscope as cs
from convscope.fooling.ball import Norm


def slope(network: cs.Network, x: Tensor, index: int, *, towards: bool) -> Tensor:
    """∇J by the module itself, of one image; downhill towards a target."""
    own = x.clone().requires_grad_()
    logits = network.module(network.normalize(own[None]))[0]
    loss = -logits[index] + logits.exp().sum().log()
    return torch.autograd.grad(-loss if towards else loss, own)[0]


def slowly(
    network: cs.Network, x: Tensor, index: int, epsilon: float, alpha: float, steps: int, start: Tensor, *,
    towards: bool, norm: str,
) -> Tensor:  # fmt: skip
    y = start
    for _ in range(steps):
        g = slope(network, y, index, towards=towards)
        y = y + alpha * (torch.sign(g) if norm == "linf" else g / (g**2).sum().sqrt())
        r = y - x
        if norm == "linf":
            r = torch.maximum(torch.minimum(r, r.new_tensor(epsilon)), r.new_tensor(-epsilon))
        elif (r**2).sum().sqrt() > epsilon:
            r = r * epsilon / (r**2).sum().sqrt()
        y = torch.clip(x + r, 0, 1)
    return y


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("towards", [False, True])
def test_against_slow_twins(norm: Norm, *, towards: bool) -> None:
    images = pictures(3, seed=9)
    own = [each[0].index for each in curved().predict(images, top=1)]
    targets = targets_of(curved(), images)
    target = targets if towards else None
    index = targets if towards else own
    for attack, steps, share in ((cs.fgsm, 1, 1.0), (cs.bim, 10, 0.2)):
        result = attack(curved(), images, target=target, epsilon=0.2, norm=norm)
        for number, x in enumerate(images):
            twin = slowly(curved(), x, index[number], 0.2, share * 0.2, steps, x, towards=towards, norm=norm)
            torch.testing.assert_close(result.exact[number], twin, atol=1e-9, rtol=0)


def test_pgd_is_bim_from_its_start() -> None:
    x = pictures(1, seed=9)[0]
    index = curved().predict(x, top=1)[0].index
    result = cs.pgd(curved(), x, epsilon=0.2, steps=6, seed=3)
    drawn = torch.rand(x.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64) * 2 - 1
    start = (x + 0.2 * drawn).clamp(0, 1)
    twin = slowly(curved(), x, index, 0.2, 2.5 * 0.2 / 6, 6, start, towards=False, norm="linf")
    torch.testing.assert_close(result.exact[0], twin, atol=1e-9, rtol=0)
    assert not torch.equal(result.exact, cs.pgd(curved(), x, epsilon=0.2, steps=6, seed=4).exact)


def test_starts_fill_the_ball() -> None:
    x = torch.full((1, 3, SIDE, SIDE), 0.5, dtype=torch.float64)

    def drawn_by(seed: int, norm: Norm) -> Tensor:
        return cs.pgd(affine(), x, seed=seed, norm=norm, steps=1, step=1e-12, epsilon=0.3).exact - x

    drawn = torch.cat([drawn_by(seed, "linf") for seed in range(30)])
    assert float(drawn.abs().max()) == pytest.approx(0.3, abs=1e-3)
    assert float(drawn.std()) == pytest.approx(0.3 / 3**0.5, rel=0.05)
    lengths = torch.cat([drawn_by(seed, "l2") for seed in range(30)]).flatten(1)
    assert float(lengths.norm(dim=1).max()) <= 0.3 + 1e-9
    # In many dimensions nearly all of a ball is near its surface.
    assert float(lengths.norm(dim=1).mean()) > 0.28


def test_a_linear_network_is_led_straight() -> None:
    """For logits that are linear FGSM goes where no other change of that size reaches further, between two classes."""
    weight = affine().module[1].weight.detach()  # type: ignore[index]
    x = torch.full((3, SIDE, SIDE), 0.5, dtype=torch.float64)
    first, second = (each.index for each in affine().predict(x, top=2))
    difference = (weight[second] - weight[first]).reshape(x.shape)
    made = cs.fgsm(affine(), x, target=second, label=first, epsilon=1e-3).exact[0] - x
    gained = float((made * difference).sum())
    assert gained == pytest.approx(1e-3 * float(difference.abs().sum()), rel=0.5)
    assert gained > 0


def test_targeted_gradient_stops_when_it_is_there() -> None:
    images = pictures(4, seed=6)
    targets = targets_of(curved(), images)
    result = cs.targeted_gradient(curved(), images, targets, rate=0.05)
    assert bool(result.successes.all())
    for number, (x, index) in enumerate(zip(images, targets, strict=True)):
        y = x
        while int(curved().logits(y).argmax()) != index:
            own = y.clone().requires_grad_()
            (g,) = torch.autograd.grad(curved().module(curved().normalize(own[None]))[0, index], own)
            y = (y + 0.05 * g / (g**2).sum().sqrt()).clip(0, 1)
        torch.testing.assert_close(result.exact[number], y, atol=1e-9, rtol=0)
    sure = cs.targeted_gradient(curved(), images, targets, rate=0.05, confidence=0.6, steps=300)
    assert min(each[0].probability for each in sure.after) > 0.55
    with pytest.raises(cs.ImageError, match=r"confidence=1\.0"):
        cs.targeted_gradient(curved(), images, targets, confidence=1.0)
