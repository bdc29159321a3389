"""The strongest patches of real scans: the planted square is what is shown; orders, projections, what is gone."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.scanning.test_crops import PICTURES, UNITS, detector
from torch import nn

import convscope as cs
from convscope.image.resize import Fit
from convscope.image.write import read_recipe, to_picture
from convscope.network.rules import Rule
from convscope.progress import Progress
from convscope.scanning.backprojection import Projector, Unit
from convscope.scanning.crops import UNSEEN, placement_of
from convscope.scanning.patches import top_patches
from convscope.scanning.scan import scan
from convscope.scanning.stored import Scan, open_scan


def save(picture: torch.Tensor, path: Path) -> None:
    to_picture(picture).save(path)


@pytest.mark.parametrize("fit", PICTURES)
def test_a_square_planted_in_one_of_many_pictures_is_the_first_patch(fit: Fit, tmp_path: Path) -> None:
    where, size = UNITS["centre"], PICTURES[fit]
    row, column = where
    seen = span = (4 * row - 3, 4 * column - 3, 4 * row + 4, 4 * column + 4)
    network = detector(seen=seen, span=span, input_size=(28, 36), fit=fit)
    square = placement_of(network, size).original_box(seen)
    folder = tmp_path / "pictures"
    folder.mkdir()
    planted = torch.zeros(1, *size)
    planted[:, square[0] : square[2], square[1] : square[3]] = 1
    save(planted, folder / "planted.png")
    for number in range(4):
        save(0.2 * torch.rand(1, *size), folder / f"noise-{number}.png")

    scanned = scan(network, folder, layers=["2"], out=tmp_path / "out.scan", k=3, engine="torch", workers=0)
    found = top_patches(scanned, "2", channel=0)
    first, *others = found.patches(0)
    assert Path(first.path).name == "planted.png"
    assert (first.place, first.box) == (where, square)
    assert len(others) == 2
    values = [each.value for each in found.patches(0)]
    assert values == sorted(values, reverse=True)
    tile = np.asarray(found.tiles(cell=70)[0][0].photograph)
    assert (tile == 255).all()


def test_boxes_and_values_are_those_of_the_network_itself(photographs_scan: Scan, net: cs.Network) -> None:
    found = top_patches(photographs_scan, "blocks.4", limit=3)
    for patch in (each for row in found.rows for each in row[:2]):
        image = net.prepare(photographs_scan.open(patch.image))
        response = net.capture(image, ["blocks.4"])["blocks.4"][patch.channel]
        assert patch.value == pytest.approx(float(response.max()), rel=1e-4)
        assert float(response[patch.place]) == pytest.approx(patch.value, rel=1e-4)
    assert len({patch.image for patch in found.rows[0]}) == len(found.rows[0]) == 9


def test_what_lies_outside_a_patch_has_no_say(photographs_scan: Scan, net: cs.Network) -> None:
    field = net.layers["blocks.4"].receptive_field
    assert field is not None
    for row in top_patches(photographs_scan, "blocks.4", limit=4).rows:
        patch = row[0]
        image = net.prepare(photographs_scan.open(patch.image))
        top, left, bottom, right = field.box(*patch.place)
        other = torch.rand_like(image)
        other[:, top:bottom, left:right] = image[:, top:bottom, left:right]
        value = net.capture(other, ["blocks.4"])["blocks.4"][(patch.channel, *patch.place)]
        assert float(value) == pytest.approx(patch.value, rel=1e-4)


@pytest.mark.parametrize("rule", ["gradient", "guided", "deconvnet"])
def test_projections_by_the_batch_are_those_one_by_one(net: cs.Network, rule: Rule) -> None:
    images = torch.stack([net.read(name) for name in ("chelsea", "coffee")])
    units = [Unit(3, (5, 6)), Unit(11, (0, 27))]
    together = Projector(net, "blocks.4")(images, units, rule=rule)
    for image, unit, found in zip(images, units, together, strict=True):
        alone = net.gradient(image, f"blocks.4:{unit.channel}@{unit.place[0]},{unit.place[1]}", rule=rule)
        assert torch.allclose(found, alone, rtol=1e-3, atol=1e-6 * float(alone.abs().max()) + 1e-9)
    vectors = Projector(net, "flatten")(images, [Unit(3, (0, 0)), Unit(9, (0, 0))], rule=rule)
    alone = net.gradient(images[1], "flatten:9", rule=rule)
    assert torch.allclose(vectors[1], alone, rtol=1e-3, atol=1e-5 * float(alone.abs().max()))


def test_channels_come_in_the_order_asked_for(photographs_scan: Scan) -> None:
    top, usual = photographs_scan.top("blocks.0"), photographs_scan.statistics("blocks.0")
    strongest = top.values[:, 0]
    assert top_patches(photographs_scan, "blocks.0").channels == tuple(np.argsort(-strongest, kind="stable"))
    selective = (strongest - usual.mean) / np.sqrt(usual.variance)
    found = top_patches(photographs_scan, "blocks.0", order="selective", limit=3)
    assert found.channels == tuple(np.argsort(-selective, kind="stable")[:3])
    assert top_patches(photographs_scan, "blocks.0", order="index", limit=5).channels == (0, 1, 2, 3, 4)
    assert top_patches(photographs_scan, "blocks.0", channel=[7, 2, 7], limit=1).channels == (7, 2)
    assert [len(row) for row in top_patches(photographs_scan, "blocks.0", channel=3, k=4).rows] == [4]


def test_it_is_seen_saved_and_told(photographs_scan: Scan, tmp_path: Path) -> None:
    found = top_patches(photographs_scan, "blocks.4", channel=[3, 8], k=3, projections=["guided"])
    told: list[Progress] = []
    found.tiles(cell=40, progress=told.append)
    images = {patch.image for row in found.rows for patch in row}
    assert (told[-1].done, told[-1].total) == (len(images), len(images))
    plain, with_values = found.picture(cell=40), found.picture(cell=40, values=True)
    assert with_values.height > plain.height
    assert plain.width >= 3 * 40
    found.save(tmp_path / "patches.png", cell=40)
    recipe = read_recipe(tmp_path / "patches.png")
    assert (recipe.method, recipe.parameters["layer"], recipe.parameters["channel"]) == (
        "top_patches",
        "blocks.4",
        [3, 8],
    )
    whole = json.loads(found.to_json())
    assert [each["channel"] for each in whole["channels"]] == [3, 8]
    assert whole["channels"][0]["patches"][0]["box"] == list(found.rows[0][0].box)
    assert "channel 3" in str(found)
    assert "each unit sees 67 of 224×224 pixels" in found.note


def test_each_photograph_is_opened_once(photographs_scan: Scan, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int] = []
    open_one = photographs_scan.open

    def counted(id: int) -> torch.Tensor:
        opened.append(id)
        return open_one(id)

    monkeypatch.setattr(photographs_scan, "open", counted)
    found = top_patches(photographs_scan, "blocks.4", limit=10, projections=["guided"], k=2)
    found.picture(cell=24)
    found.picture(cell=24)
    assert len(opened) == len(set(opened)) == len({patch.image for row in found.rows for patch in row})


def test_units_at_a_rectifiers_ceiling_are_told_of(photographs_scan: Scan) -> None:
    top = photographs_scan.top("head.activation")
    level = [channel for channel, row in enumerate(top.values) if row[0] == row[-1] == 6]
    found = top_patches(photographs_scan, "head.activation", channel=level[:2], projections=["guided"])
    assert found.note.count("\n") == 1
    assert "2 of 2 channels have the same value" in found.note
    assert "each unit sees all 224×224 pixels" in found.note


@pytest.fixture
def little(tmp_path: Path) -> tuple[cs.Network, Path, Path]:
    """A network of which one channel never answers, pictures, and where their scan is."""
    convolution = nn.Conv2d(1, 3, 3, padding=1)
    convolution.weight.data = torch.ones(3, 1, 3, 3)
    convolution.bias = nn.Parameter(torch.tensor([0.0, 0.0, -100.0]))
    module = nn.Sequential(convolution, nn.ReLU(), nn.AvgPool2d(2))
    network = cs.Network(module, input_size=16, channels=1, head="none", fit="resize")
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(4):
        save(torch.rand(1, 20, 24) * (number + 1) / 4, folder / f"{number}.png")
    scan(network, folder, layers=["1", "2"], out=tmp_path / "out.scan", engine="torch", workers=0)
    return network, folder, tmp_path / "out.scan"


def test_channels_that_never_answer_and_pictures_that_are_gone(little: tuple[cs.Network, Path, Path]) -> None:
    network, folder, path = little
    (folder / "3.png").unlink()
    save(torch.rand(1, 30, 24), folder / "2.png")
    found = top_patches(open_scan(path, network), "1", order="index", projections=["guided"])
    assert [len(row) for row in found.rows] == [4, 4, 0]
    gone, changed, there, _ = found.tiles(cell=60)[0]
    assert {tuple(np.asarray(each.photograph)[50, 50]) for each in (gone, changed)} == {UNSEEN}
    assert not (np.asarray(there.photograph) == UNSEEN).all(axis=-1).any()
    assert tuple(np.asarray(gone.projections["guided"])[50, 50]) == UNSEEN
    assert gone.photograph.size == there.photograph.size == there.projections["guided"].size
    assert "never active" in str(found)
    assert found.picture().width > 4 * 60


def test_pictures_in_memory_must_be_said_where_they_are(little: tuple[cs.Network, Path, Path], tmp_path: Path) -> None:
    network, folder, path = little
    moved = tmp_path / "moved"
    shutil.move(folder, moved)
    found = top_patches(open_scan(path, network, source=moved), "2", channel=0)
    assert Path(found.rows[0][0].path).parent == moved
    assert np.ptp(np.asarray(found.tiles(cell=30)[0][0].photograph)) > 20


def test_bad_input_is_refused(photographs_scan: Scan) -> None:
    with pytest.raises(cs.LayerError, match=r"blocks\.9"):
        top_patches(photographs_scan, "blocks.9")
    with pytest.raises(cs.LayerError, match="channels 0 to 39"):
        top_patches(photographs_scan, "blocks.4", channel=40)
    with pytest.raises(cs.LayerError, match="no channel"):
        top_patches(photographs_scan, "blocks.4", channel=[])
    with pytest.raises(cs.ConvscopeError, match="k=10, expected 1 to 9"):
        top_patches(photographs_scan, "blocks.4", k=10)
    with pytest.raises(cs.ConvscopeError, match="limit=0"):
        top_patches(photographs_scan, "blocks.4", limit=0)
    with pytest.raises(cs.ConvscopeError, match="nearest: guided"):
        top_patches(photographs_scan, "blocks.4", projections=["guide"])  # type: ignore[list-item]
    with pytest.raises(cs.ConvscopeError, match="nearest: strongest"):
        top_patches(photographs_scan, "blocks.4", order="strong")  # type: ignore[arg-type]
    found = top_patches(photographs_scan, "blocks.4", channel=[1, 2])
    with pytest.raises(cs.LayerError, match="channel 3, expected one of those asked for: 1, 2"):
        found.patches(3)
    with pytest.raises(cs.ImageError, match="cell=0"):
        found.picture(cell=0)


def test_tiles_are_pictures_of_one_size(photographs_scan: Scan) -> None:
    for layer in ("blocks.0", "head.activation", "flatten"):
        found = top_patches(photographs_scan, layer, limit=2, k=3)
        sizes = {tile.photograph.size for row in found.tiles(cell=32) for tile in row}
        assert sizes == {(32, 32)}
        assert isinstance(found.picture(cell=32), Image.Image)
