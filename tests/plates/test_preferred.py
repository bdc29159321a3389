"""The plate from shallow to deep: which channels, how large, and what a dead one says."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.digits_network import digits_network
from tests.synthesis.networks import small
from torch import nn

import convscope as cs
from convscope.errors import Cancelled, ConvscopeError, ImageError, LayerError, NetworkError, TargetError
from convscope.network.stages import stage_ends
from convscope.plates.preferred import Preferred, preferred
from convscope.synthesis.parts import PartError


def made(layers: Any = ("0", "3"), **options: Any) -> Preferred:
    return preferred(small(), layers, **{"steps": 2, **options})


def strip() -> cs.Network:
    """A network without a classifier, whose channels 1 and 2 are dead: below 0, and the same everywhere."""
    first = nn.Conv2d(3, 4, 3, padding=1)
    with torch.no_grad():
        first.weight[1:3] = 0
        first.bias[1], first.bias[2] = -1, 5  # type: ignore[index]  # it has one
    return cs.Network(nn.Sequential(first, nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 2, 3)), input_size=160)


def test_by_default_all_stages_and_the_classes() -> None:
    plate = preferred(digits_network().network, channels=3, steps=1)
    assert [row.layer for row in plate.rows] == [*stage_ends(digits_network().network), "classes"]
    assert all(len(row.names) == 3 for row in plate.rows)
    assert plate.rows[-1].names == ("1", "5", "8")
    assert plate.rows[-1].made.targets == ["class:1", "class:5", "class:8"]
    lite = preferred(cs.load("efficientnet-lite0"), channels=1, classes=0, steps=1, size=64)
    assert [row.layer for row in lite.rows] == stage_ends(cs.load("efficientnet-lite0"))[:-1]


def test_each_image_is_that_of_maximize() -> None:
    plate = made(["0:1,5", "3"], channels=2, classes=["class:4"], steps=4, seed=3)
    assert [row.names for row in plate.rows] == [
        ("channel 1", "channel 5"), ("channel 3", "channel 9"), ("class:4",),
    ]  # fmt: skip
    alone = cs.maximize(small(), ["3:3", "3:9"], steps=4, seed=3)
    assert torch.equal(plate.rows[1].made.images, alone.images)
    assert not torch.equal(alone.images, made(["3:3,9"], steps=4, seed=4).rows[0].made.images)


def test_which_channels_and_classes() -> None:
    assert [row.names for row in made(channels=[2, 7]).rows] == [("channel 2", "channel 7")] * 2
    assert len(made(["0"], channels=99).rows[0].names) == 8
    assert [row.layer for row in made().rows] == ["0", "3"]
    assert made([], classes=2).rows[0].made.targets == ["class:1", "class:3"]
    assert made([], classes=[0, "class:1"]).rows[0].names == ("class:0", "class:1")
    assert preferred(strip(), channels=1, steps=1, size=16).rows[-1].layer != "classes"


def test_options_are_those_of_maximize() -> None:
    plain = made(["0:1"]).rows[0].made
    for options in ({"preset": "yosinski"}, {"regularizers": "tv:1"}, {"transforms": "none"}, {"steps": 3}):
        assert not torch.equal(plain.images, made(["0:1"], **options).rows[0].made.images), options
    one_by_one = made(["0:1,2,3"], batch=1).rows[0].made
    torch.testing.assert_close(one_by_one.images, made(["0:1,2,3"]).rows[0].made.images, atol=1.5 / 255, rtol=0)


def test_images_of_shallow_layers_are_small_where_the_network_takes_such() -> None:
    plate = preferred(strip(), ["0:0", "3"], channels=1, steps=1)
    assert [tuple(row.made.images.shape[-2:]) for row in plate.rows] == [(80, 80), (80, 80)]
    assert [row.shown for row in plate.rows] == [(40, 40), (40, 40)]
    first = replace(plate.rows[0], shown=None)
    assert replace(plate, rows=(first, *plate.rows[1:])).picture().tobytes() != plate.picture().tobytes()
    deep = preferred(cs.load("efficientnet-lite0"), ["blocks.0", "blocks.4", "blocks.10"], channels=1, steps=1)
    assert [row.made.images.shape[-1] for row in deep.rows] == [112, 112, 224]
    assert [row.shown for row in deep.rows] == [(56, 56), (112, 112), None]
    assert [row.extent for row in deep.rows] == ["7 px", "67 px", "339 px"]
    given = preferred(strip(), ["0"], channels=1, steps=1, size=(24, 30)).rows[0]
    assert given.made.images.shape[-2:] == (24, 30)


def test_a_network_of_one_size_keeps_it() -> None:
    with torch.random.fork_rng(devices=[]):
        module = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 96**2, 3))
    row = preferred(cs.Network(module, input_size=96, channels=1), ["0"], channels=1, steps=1).rows[0]
    assert row.made.images.shape == (1, 1, 96, 96)


@pytest.mark.parametrize("steps", [1, 5])
def test_a_channel_that_never_answers_says_so(steps: int) -> None:
    plate = preferred(strip(), ["1"], steps=steps, transforms="none")
    assert plate.rows[0].answers == (True, False, False, True)
    counts = {colour: count for count, colour in plate.picture(cell=40).getcolors(1 << 20) or []}
    assert counts.get((236, 236, 236), 0) >= 2 * 40 * 40


def test_the_picture_and_its_recipe(tmp_path: Any) -> None:
    plate = made(["0:1,5", "3"], classes=1, channels=3)
    small_cells, large = plate.picture(cell=24), plate.picture(cell=96)
    assert large.width > small_cells.width
    parameters = plate.recipe.parameters
    again = preferred(small(), seed=plate.recipe.seed or 0, batch=plate.recipe.batch or 8, **parameters)  # type: ignore[arg-type]
    plate.save(tmp_path / "first.png")
    again.save(tmp_path / "again.png")
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "again.png").read_bytes()


@pytest.mark.parametrize(
    ("layers", "options", "kind", "message"),
    [
        (["9"], {}, LayerError, "9"),
        (["0:8"], {}, LayerError, "got channel 8, and 0 has channels 0 to 7"),
        (["0:a"], {}, LayerError, "can't understand '0:a'; expected LAYER"),
        (["0"], {"channels": [9]}, LayerError, "got channel 9"),
        (["0"], {"channels": -1}, ImageError, "got -1"),
        ([], {}, LayerError, "no layers and no classes"),
        ([], {"classes": ["class:5"]}, TargetError, "classes 0 to 4"),
        (["0"], {"preset": "lucit"}, ImageError, "lucid"),
        (["0"], {"size": 0}, ImageError, "at least 1"),
        (["0"], {"size": 10**6}, NetworkError, "GiB"),
        (["0"], {"regularizers": "tv:1e39"}, PartError, "got weight=1e"),
    ],
)
def test_errors(layers: Any, options: Any, kind: type[ConvscopeError], message: str) -> None:
    with pytest.raises(kind, match=message):
        made(layers, **options)


def test_classes_where_there_are_none() -> None:
    with pytest.raises(TargetError, match="has no classes"):
        preferred(strip(), ["0"], classes=2)


def test_an_image_of_one_pixel() -> None:
    assert made(["0"], size=1, channels=1).rows[0].made.images.shape == (1, 3, 1, 1)


def test_stopped_there_are_the_rows_that_were_done() -> None:
    seen = []

    def watch(progress: cs.Progress) -> bool:
        seen.append((progress.done, progress.total))
        return progress.done < 3

    with pytest.raises(Cancelled) as stopped:
        made(["0", "3"], channels=1, progress=watch)
    assert [row.layer for row in stopped.value.so_far.rows] == ["0"]
    assert seen == [(1, 4), (2, 4), (3, 4)]
    with pytest.raises(Cancelled) as at_once:
        made(["0"], progress=lambda progress: False)
    assert at_once.value.so_far.shape == (4, 3, 24, 24)
