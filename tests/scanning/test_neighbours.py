"""Neighbours against distances computed one by one, on photographs and their crops, and on digits."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.scanning.little import little_network, little_pictures, scan_little

import convscope as cs
from convscope.errors import ConvscopeError, ImageError, LayerError
from convscope.image.recipe import JSON
from convscope.image.write import read_recipe
from convscope.scanning import neighbours as module
from convscope.scanning.neighbours import default_layer, neighbours
from convscope.scanning.scan import scan
from convscope.scanning.search import Metric
from convscope.scanning.stored import Scan


def by_definition(found: Scan, row: int, layer: str, metric: Metric) -> list[int]:
    """The rows of all others, nearest first."""
    codes = found.codes(layer).astype(np.float64)
    distances = []
    for other in codes:
        if metric == "cosine":
            distances.append(1 - codes[row] @ other / np.linalg.norm(codes[row]) / np.linalg.norm(other))
        else:
            distances.append(np.linalg.norm(codes[row] - other))
    return [at for at in np.argsort(distances, kind="stable").tolist() if at != row]


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_they_are_those_of_the_definition(digits_scan: Scan, metric: Metric) -> None:
    for row in (0, 17, 200):
        id = int(digits_scan.images.ids[row])
        found = neighbours(digits_scan, id, k=5, layer="relu2", metric=metric)
        rows = [digits_scan.images.row(each.id) for each in found]
        assert rows == by_definition(digits_scan, row, "relu2", metric)[:5]
        assert [each.distance for each in found] == sorted(each.distance for each in found)
        assert found[0].name == digits_scan.images.names[rows[0]]
        assert found[0].path == digits_scan.where(found[0].id)
        assert [each.label for each in found] == [Path(digits_scan.images.names[at]).parent.name for at in rows]


def test_those_by_pixels_are_those_of_the_small_copies(digits_scan: Scan) -> None:
    pixels = digits_scan.pixels().astype(np.float64) / 255
    found = neighbours(digits_scan, int(digits_scan.images.ids[3]), k=4)
    distances = np.linalg.norm(pixels - pixels[3], axis=1)
    distances[3] = np.inf
    assert found.by_pixels is not None
    wanted = np.argsort(distances, kind="stable")[:4]
    assert [digits_scan.images.row(each.id) for each in found.by_pixels] == wanted.tolist()
    np.testing.assert_allclose([each.distance for each in found.by_pixels], distances[wanted], rtol=1e-5)


def test_codes_know_digits_better_than_chance(digits_scan: Scan) -> None:
    found = neighbours(digits_scan, digits_scan.images.ids[:60].tolist(), pixels=False)
    truth = [Path(name).parent.name for name in digits_scan.images.names[:60]]
    same = [each.label == told for told, answers in zip(truth, found, strict=True) for each in answers]
    assert np.mean(same) > 0.9


def test_parts_of_a_photograph_are_its_neighbours(photographs_scan: Scan, crops: Path) -> None:
    found = neighbours(photographs_scan, crops / "chelsea" / "whole.jpg", k=3)
    assert {each.label for each in found} == {"chelsea"}
    assert found.same == ("chelsea/whole.jpg",)
    assert found.asked == "whole.jpg"
    with_itself = neighbours(photographs_scan, crops / "chelsea" / "whole.jpg", k=3, exclude_itself=False)
    assert with_itself[0].name == "chelsea/whole.jpg"
    assert with_itself[0].distance < 1e-3
    assert list(with_itself[1:]) == list(found[:2])


def test_an_image_is_left_out_whatever_way_it_is_given(photographs_scan: Scan, crops: Path) -> None:
    path = crops / "coffee" / "left.jpg"
    id = photographs_scan.images.names.index("coffee/left.jpg")
    image = cs.read_image(path)
    ways = [int(photographs_scan.images.ids[id]), str(path), image, photographs_scan.network.prepare(image)]
    found = neighbours(photographs_scan, ways, k=4)
    names = [[each.name for each in one] for one in found]
    assert all(each == names[0] for each in names)
    assert "coffee/left.jpg" not in names[0]
    assert [one.same for one in found] == [(), *[("coffee/left.jpg",)] * 3]


def test_a_batch_gives_what_its_images_give(digits_scan: Scan) -> None:
    images = torch.stack([digits_scan.open(int(id)) for id in digits_scan.images.ids[:3]])
    together = neighbours(digits_scan, images, k=3)
    for image, found in zip(images, together, strict=True):
        alone = neighbours(digits_scan, image, k=3)
        assert [each.id for each in alone] == [each.id for each in found]
    assert neighbours(digits_scan, [], k=3) == []


def test_an_unlike_picture_is_not_taken_for_itself(photographs_scan: Scan) -> None:
    found = neighbours(photographs_scan, "camera", k=30)
    assert found.same == ()
    assert len(found) == len(photographs_scan)
    assert found.by_pixels is not None
    assert len(found.by_pixels) == len(photographs_scan)


def test_the_layer_is_the_last_before_the_logits(digits_scan: Scan, photographs_scan: Scan) -> None:
    assert default_layer(digits_scan) == "relu4"
    assert default_layer(photographs_scan) == list(photographs_scan.layers)[-1]


def test_the_logits_are_no_code_unless_there_is_nothing_else(lite0: cs.Network, crops: Path, tmp_path: Path) -> None:
    folder = crops / "coffee"
    both = scan(lite0, folder, layers=["pool", "classifier"], out=tmp_path / "both.scan", engine="torch", workers=0)
    assert default_layer(both) == "pool"
    alone = scan(lite0, folder, layers=["classifier"], out=tmp_path / "alone.scan", engine="torch", workers=0)
    assert default_layer(alone) == "classifier"


def test_the_picture_has_a_row_for_codes_and_one_for_pixels(photographs_scan: Scan, tmp_path: Path) -> None:
    found = neighbours(photographs_scan, "chelsea", k=3)
    with_pixels = found.picture(cell=64)
    alone = neighbours(photographs_scan, "chelsea", k=3, pixels=False)
    assert alone.by_pixels is None
    assert alone.picture(cell=64).height < with_pixels.height
    found.save(tmp_path / "out.png")
    recipe = read_recipe(tmp_path / "out.png")
    parameters: dict[str, JSON] = dict(recipe.parameters)
    assert (recipe.method, parameters["k"], recipe.inputs[0].name) == ("neighbours", 3, "chelsea")


def test_a_picture_that_is_gone_is_shown_as_the_scan_keeps_it(lite0: cs.Network, crops: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photographs"
    shutil.copytree(crops / "rocket", folder)
    made = scan(lite0, folder, layers=["pool"], out=tmp_path / "x.scan", engine="torch", workers=0)
    (folder / "left.jpg").unlink()
    assert neighbours(made, "rocket", k=3).picture(cell=40).width > 0


def test_text_and_json_tell_the_same(digits_scan: Scan) -> None:
    found = neighbours(digits_scan, int(digits_scan.images.ids[0]), k=2)
    whole = found.to_json()
    told = whole["neighbours"]
    assert isinstance(told, list)
    assert [each["id"] for each in told] == [each.id for each in found]
    assert all(each.path in str(found) for each in found)


def test_above_a_hundred_thousand_an_index_answers(digits_scan: Scan, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = digits_scan.images.ids[:20].tolist()
    images = [digits_scan.open(id) for id in ids]
    exact = neighbours(digits_scan, [*ids, *images], k=10, layer="relu3")
    monkeypatch.setattr(module, "EXACT_ROWS", 100)
    found = neighbours(digits_scan, [*ids, *images], k=10, layer="relu3")
    shared = [len({each.id for each in a} & {each.id for each in b}) for a, b in zip(exact, found, strict=True)]
    assert np.mean(shared) >= 9
    assert [each.same for each in exact] == [each.same for each in found]


def test_bad_questions_are_refused(digits_scan: Scan, photographs_scan: Scan) -> None:
    with pytest.raises(ConvscopeError, match="k=0, expected how many"):
        neighbours(digits_scan, 0, k=0)
    with pytest.raises(ConvscopeError, match="no picture of the scan has the id 99999"):
        neighbours(digits_scan, 99999)
    with pytest.raises(LayerError, match="nearest: relu"):
        neighbours(digits_scan, 0, layer="relu9")
    with pytest.raises(ConvscopeError, match="unknown metric"):
        neighbours(digits_scan, 0, metric="dot")  # type: ignore[arg-type]
    with pytest.raises(ImageError, match="no such file"):
        neighbours(photographs_scan, "chelsee")
    with pytest.raises(ConvscopeError, match="expected an image, the path of a picture or the id"):
        neighbours(photographs_scan, [None])


def test_pictures_that_are_gone_are_no_neighbours(tmp_path: Path) -> None:
    folder = little_pictures(tmp_path / "pictures", 12)
    scan = scan_little(folder, tmp_path / "x.scan", layers=["5"])
    asked = cs.open_scan(scan.path, little_network())
    [nearest] = asked.neighbours(0, k=1)
    Path(nearest.path).unlink()
    scan_little(folder, scan.path)
    again = cs.open_scan(scan.path, little_network()).neighbours(0, k=20)
    assert nearest.id not in {each.id for each in again}
    assert nearest.id not in {each.id for each in again.by_pixels or ()}
    assert len(again) == 10
