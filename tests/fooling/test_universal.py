"""One perturbation for many images."""

import pytest
import torch
from tests.fooling.attacked import SIDE, affine, curved, pictures

import convscope as cs
from convscope.errors import ImageError
from convscope.fooling.ball import Norm


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_same_is_added_to_all(norm: Norm) -> None:
    images = pictures(12, seed=31)
    result = cs.universal(curved(), images, epsilon=0.2, norm=norm, steps=6, batch=5)
    assert result.universal.shape == (3, SIDE, SIDE)
    size = result.universal.abs().max() if norm == "linf" else result.universal.norm()
    assert float(size) <= 0.2 + 1e-9
    torch.testing.assert_close(result.exact, (images + result.universal).clamp(0, 1))
    assert result.rate == float(result.successes.double().mean())
    assert int(result.gradients.sum()) == 5 + 5 + 2 + 5 + 5 + 2


def test_it_fools_more_than_chance_changes() -> None:
    images = pictures(40, seed=32)
    result = cs.universal(affine(), images, epsilon=0.05, steps=40, batch=10)
    random = 0.05 * torch.randn(3, SIDE, SIDE, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).sign()
    before = [each[0].index for each in result.before]
    after = [each[0].index for each in affine().predict((images + random).clamp(0, 1), top=1)]
    by_chance = sum(one != two for one, two in zip(before, after, strict=True)) / 40
    assert result.rate > by_chance + 0.1


def test_towards_one_class() -> None:
    images = pictures(40, seed=33)
    own = [each[0].index for each in affine().predict(images, top=1)]
    others = images[[index != 2 for index in own]]
    result = cs.universal(affine(), others, target=2, epsilon=0.1, steps=40, batch=10)
    assert result.rate > 0.9
    assert set(result.targets or ()) == {"class 2"}


def test_its_pictures() -> None:
    result = cs.universal(curved(), pictures(2), steps=2)
    assert result.picture(perturbation=True).size == (SIDE, SIDE)
    assert result.picture(figure=True).width > 3 * SIDE
    still = cs.universal(curved(), pictures(2), epsilon=0.0, steps=1)
    assert still.picture(perturbation=True).getpixel((0, 0)) == (128, 128, 128)


def test_bad_rates() -> None:
    with pytest.raises(ImageError, match=r"rate=0\.0"):
        cs.universal(curved(), pictures(2), rate=0.0)
