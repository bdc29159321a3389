"""One perturbation for many images."""

import pytest
import torch
from tests.fooling.attacked import SIDE, affine, curved, pictures

import convscope as cs
from convscope.errors import ImageError
from convscope.fooling.ball import Norm
from convscope.fooling.universal import _shifted


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
    result = cs.universal(affine(), images, epsilon=0.05, steps=40, batch=10, shift=0)
    random = 0.05 * torch.randn(3, SIDE, SIDE, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).sign()
    before = [each[0].index for each in result.before]
    after = [each[0].index for each in affine().predict((images + random).clamp(0, 1), top=1)]
    by_chance = sum(one != two for one, two in zip(before, after, strict=True)) / 40
    assert result.rate > by_chance + 0.1


def test_towards_one_class() -> None:
    images = pictures(40, seed=33)
    own = [each[0].index for each in affine().predict(images, top=1)]
    others = images[[index != 2 for index in own]]
    result = cs.universal(affine(), others, target=2, epsilon=0.1, steps=40, batch=10, shift=0)
    assert result.rate > 0.9
    assert set(result.targets or ()) == {"class 2"}


def test_its_pictures() -> None:
    result = cs.universal(curved(), pictures(2), steps=2)
    assert result.picture(perturbation=True).size == (SIDE, SIDE)
    assert result.picture(figure=True).width > 3 * SIDE
    still = cs.universal(curved(), pictures(2), epsilon=0.0, steps=1)
    assert still.picture(perturbation=True).getpixel((0, 0)) == (128, 128, 128)


def test_shifted_images_are_the_same_ones_rolled_and_mirrored() -> None:
    images = torch.arange(2 * 4 * 6).reshape(2, 1, 4, 6).float()
    assert torch.equal(_shifted(images, 0, torch.Generator()), images)
    draw, seen = torch.Generator().manual_seed(1), set()
    for shift, down, along in ((0.5, 2, 3), (0.2, 1, 1)):
        ways = {
            (one, two, mirrored): image.roll((one, two), dims=(-2, -1)).flip(-1 if mirrored else ())
            for image in images[:1]
            for one in range(-down, down + 1)
            for two in range(-along, along + 1)
            for mirrored in (False, True)
        }
        for _ in range(30):
            moved = _shifted(images, shift, draw)
            found = [way for way, image in ways.items() if torch.equal(moved[0], image)]
            assert found
            seen.add(found[0])
            assert torch.equal(moved[1].sort().values.sum(), images[1].sum())
    assert len(seen) > 20


@pytest.mark.parametrize(("rate", "shift", "says"), [(0.0, 0.5, "rate=0.0"), (0.1, 0.6, "shift=0.6"), (0.1, -1, "=-1")])
def test_bad_numbers(rate: float, shift: float, says: str) -> None:
    with pytest.raises(ImageError, match=says):
        cs.universal(curved(), pictures(2), rate=rate, shift=shift)
