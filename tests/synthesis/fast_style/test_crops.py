"""Crops: each is known by its number, and every photograph has its turn."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from convscope.errors import ImageError
from convscope.image.sources import open_source
from convscope.synthesis.fast_style.crops import Crops


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six photographs of one grey each, 0 to 5 times 40, of several sizes."""
    for level in range(6):
        Image.new("RGB", (30 + 9 * level, 50 - 6 * level), (40 * level,) * 3).save(tmp_path / f"{level}.png")
    return tmp_path


def levels(crops: Crops, numbers: range) -> list[int]:
    return [round(float(crops.crop(number).mean()) * 255 / 40) for number in numbers]


def test_a_crop_is_known_by_seed_and_number(folder: Path) -> None:
    one, other = (Crops(open_source(folder), 16, seed=3) for _ in range(2))
    assert torch.equal(one.batch([7, 2]), torch.stack([other.crop(7), other.crop(2)]))
    assert levels(one, range(6)) != levels(Crops(open_source(folder), 16, seed=4), range(6))


@pytest.mark.parametrize("size", [16, 64])
def test_crops_have_their_size_whatever_the_photograph_has(folder: Path, size: int) -> None:
    batch = Crops(open_source(folder), size, seed=0).batch(range(12))
    assert batch.shape == (12, 3, size, size)
    assert batch.min() >= 0
    assert batch.max() <= 1


def test_every_photograph_has_its_turn_before_any_has_another(folder: Path) -> None:
    crops = Crops(open_source(folder), 16, seed=1)
    epochs = [levels(crops, range(6 * epoch, 6 * epoch + 6)) for epoch in range(4)]
    assert all(sorted(epoch) == list(range(6)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_crops_differ_in_place_scale_and_side(tmp_path: Path) -> None:
    ramp = torch.linspace(0, 255, 120).byte().expand(80, 120)
    Image.fromarray(ramp.numpy()).convert("RGB").save(tmp_path / "ramp.png")
    crops = Crops(open_source(tmp_path), 32, seed=0).batch(range(40))[:, 0]
    slopes = (crops[:, :, -1] - crops[:, :, 0]).mean(dim=1)
    assert 5 < int((slopes < 0).sum()) < 35
    assert float(crops.mean(dim=(1, 2)).std()) > 0.05
    widest, narrowest = slopes.abs().max(), slopes.abs().min()
    assert 1.2 < widest / narrowest < 1.7


def test_what_can_not_be_read_is_passed_over_until_nothing_is_left(folder: Path) -> None:
    for level in (1, 2, 3, 4, 5):
        (folder / f"{level}.png").write_bytes(b"no picture")
    source = open_source([folder / f"{level}.png" for level in range(6)])
    crops = Crops(source, 16, seed=0)
    assert levels(crops, range(6)) == [0] * 6
    (folder / "0.png").write_bytes(b"no picture")
    with pytest.raises(ImageError, match="none of the 6 photographs can be read; the first: "):
        crops.crop(0)
