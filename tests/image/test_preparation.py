import json
from pathlib import Path

import pytest
import torch
from PIL import Image

import convscope as cs
from convscope.errors import ImageError
from convscope.image.preparation import Preparation
from convscope.image.provenance import recall
from convscope.image.resize import place

EVERY = [
    Preparation(input_size=(64, 48)),
    Preparation(input_size=(64, 48), channels=1, fit="pad", interpolation="bilinear", window=(0.0, 0.5)),
    Preparation(input_size=(40, 40), fit="resize", crop_fraction=1.0),
]


@pytest.mark.parametrize("preparation", EVERY)
def test_it_is_the_same_after_a_way_through_json(preparation: Preparation) -> None:
    assert Preparation.from_json(json.loads(json.dumps(preparation.to_json()))) == preparation


@pytest.mark.parametrize("preparation", EVERY)
def test_a_network_prepares_by_it(tiny: torch.nn.Module, preparation: Preparation) -> None:
    options = preparation.to_json() | {"value_range": (0.0, 1.0)}
    network = cs.Network(tiny, **options)  # type: ignore[arg-type]  # by name
    assert network.preparation == preparation
    assert torch.equal(network.read("chelsea"), preparation.read("chelsea"))
    assert preparation.read("chelsea").shape == (preparation.channels, *preparation.input_size)


def test_where_a_picture_is_from_is_kept() -> None:
    origin = recall(Preparation(input_size=(20, 20)).read("chelsea"))
    assert (origin.name, origin.prepared) == ("chelsea", True)


def test_what_has_the_size_already_is_returned_as_it_is() -> None:
    image = torch.rand(3, 20, 30)
    assert Preparation(input_size=(20, 30)).prepare(image) is image


def test_other_channels_are_refused() -> None:
    with pytest.raises(ImageError, match="4 channels"):
        Preparation(input_size=(20, 30)).prepare(torch.rand(4, 20, 30))


@pytest.mark.parametrize("preparation", EVERY)
@pytest.mark.parametrize("size", [(300, 400), (400, 300), (300, 310)])
def test_at_least_is_twice_what_a_picture_is_scaled_to(preparation: Preparation, size: tuple[int, int]) -> None:
    scaled = place(size, preparation.input_size, fit=preparation.fit, crop_fraction=preparation.crop_fraction).scaled
    # The scale of a picture that just has so many rows and columns: nothing smaller would do.
    scale = max(least / own for least, own in zip(preparation.at_least, size, strict=True))
    assert all(scale * own >= 2 * to - 1 for own, to in zip(size, scaled, strict=True))


def test_a_picture_of_one_band_and_a_window(tmp_path: Path) -> None:
    Image.new("L", (30, 20), 51).save(tmp_path / "grey.png")
    image = Preparation(input_size=(20, 30), channels=1, window=(0.0, 102.0)).read(tmp_path / "grey.png")
    assert torch.equal(image, torch.full((1, 20, 30), 0.5))
