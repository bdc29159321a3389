"""The plate of inversions, and whether reconstructions give photographs away."""

from pathlib import Path

import pytest
import torch
from tests.digits_network import digits_network
from tests.synthesis.networks import small
from torch import Tensor

import convscope as cs
from convscope.errors import Cancelled, ImageError, LayerError
from convscope.image.write import read_recipe
from convscope.plates.inversions import Inversions, identified, inversions
from convscope.progress import Progress
from convscope.synthesis.invert import invert


@pytest.fixture
def image() -> Tensor:
    return cs.read_image("chelsea", 24)[:, :16, :16].contiguous()


def test_each_is_what_invert_gives(image: Tensor) -> None:
    net = small()
    plate = inversions(net, image, ["0", "3"], steps=4, regularizers="tv:2", preset="exact", seed=3)
    for name, each in zip(["0", "3"], plate.inversions, strict=True):
        alone = invert(net, image, name, steps=4, regularizers="tv:2", preset="exact", seed=3)
        assert torch.equal(each.images, alone.images)
        assert each.recipe == alone.recipe
    assert plate.code_errors.tolist() == [float(each.code_errors) for each in plate.inversions]
    assert plate.correlations.tolist() == [float(each.correlations) for each in plate.inversions]


def test_less_comes_back_from_deeper_layers() -> None:
    """From the maps of the first layer a digit comes back as it was, from the logits hardly."""
    truth = digits_network()
    plate = inversions(truth.network, truth.images[0], ["relu1", "pool2", "fc2"], preset="exact", steps=30)
    first, middle, last = plate.correlations.tolist()
    assert first > 0.95
    assert first > middle > last


@pytest.mark.slow
def test_the_usual_layers_are_the_ends_of_stages(lite0: cs.Network) -> None:
    plate = inversions(lite0, lite0.read("chelsea"), steps=1)
    assert plate.layers == ("blocks.0", "blocks.2", "blocks.4", "blocks.10", "head.norm", "flatten")


def test_picture_and_recipe(image: Tensor, tmp_path: Path) -> None:
    one, two = (inversions(small(), image, layers, steps=2) for layers in (["0"], ["0", "3", "5"]))
    assert two.picture(columns=4, cell=128).width > one.picture(columns=4, cell=128).width
    assert two.picture(cell=64).height > two.picture(cell=16).height
    two.save(tmp_path / "plate.png", cell=48)
    recipe = read_recipe(tmp_path / "plate.png")
    assert (recipe.method, recipe.seed, recipe.picture) == ("inversions", 0, {"cell": 48})
    assert recipe.parameters == {"layers": ["0", "3", "5"], "preset": None, "regularizers": None, "steps": 2}


def test_an_even_reconstruction_is_drawn() -> None:
    inversions(small(), torch.rand(3, 1, 1), ["0"], steps=1).picture()


def test_stopped_with_the_layers_that_were_done(image: Tensor) -> None:
    seen: list[Progress] = []

    def watch(progress: Progress) -> bool:
        seen.append(progress)
        return progress.done < 5

    with pytest.raises(Cancelled) as stopped:
        inversions(small(), image, ["0", "3"], steps=4, progress=watch)
    assert isinstance(stopped.value.so_far, Inversions)
    assert stopped.value.so_far.layers == ("0",)
    assert [each.done for each in seen] == [1, 2, 3, 4, 5]
    assert {each.total for each in seen} == {8}
    with pytest.raises(Cancelled) as at_once:
        inversions(small(), image, ["0", "3"], steps=4, progress=lambda _: False)
    assert isinstance(at_once.value.so_far, Tensor)


def test_errors(image: Tensor) -> None:
    with pytest.raises(LayerError, match="no layer 'nought'"):
        inversions(small(), image, ["nought"])
    with pytest.raises(LayerError, match="name one at least"):
        inversions(small(), image, [])
    with pytest.raises(ImageError, match="all of one size"):
        identified(small(), [image])
    with pytest.raises(ImageError, match="all of one size"):
        identified(small(), [image, image[:, 1:]])


def photographs() -> list[Tensor]:
    return [cs.read_image(name, 20)[:, :12, :12].contiguous() for name in ("chelsea", "coffee", "astronaut")]


def test_a_layer_that_keeps_all_gives_photographs_away() -> None:
    found = identified(small(), photographs(), "0", preset="exact", steps=40)
    assert found.rates == {"pixels": 1.0, "Sequential 0": 1.0}
    assert all(each.tolist() == [0, 1, 2] for each in found.nearest.values())


def test_the_nearest_by_definition() -> None:
    judge = digits_network().network
    images = list(digits_network().images[:4])
    found = identified(judge, images, "fc2", judge=judge, judge_layer="pool2", preset="exact", steps=3, seed=5)
    for number, made in enumerate(found.reconstructions):
        assert torch.equal(made, invert(judge, images[number], "fc2", preset="exact", steps=3, seed=5 + number).image)
        by_pixels = [float((made - each).square().mean()) for each in images]
        assert int(found.nearest["pixels"][number]) == by_pixels.index(min(by_pixels))
        codes = [judge.capture(each, ["pool2"])["pool2"].mean(dim=(1, 2)) for each in (made, *images)]
        cosines = [float(torch.cosine_similarity(codes[0], each, dim=0)) for each in codes[1:]]
        assert int(found.nearest[f"{judge.name} pool2"][number]) == cosines.index(max(cosines))


def test_picture_of_who_was_picked(tmp_path: Path) -> None:
    found = identified(small(), photographs(), "3", steps=2, seed=2)
    found.save(tmp_path / "picked.png", cell=32)
    recipe = read_recipe(tmp_path / "picked.png")
    assert (recipe.method, recipe.seed, len(recipe.inputs)) == ("identified", 2, 3)
    assert recipe.parameters["layer"] == "3"
    assert found.picture(cell=64).height > found.picture(cell=32).height
