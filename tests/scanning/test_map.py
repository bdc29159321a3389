"""Maps of little scans: what is in them, where new pictures come to lie, and what their pictures show."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image
from tests.digits_network import digits_network
from typer.testing import CliRunner

import convscope as cs
from convscope.cli.app import app
from convscope.errors import ConvscopeError, LayerError
from convscope.image.write import read_recipe
from convscope.render.text import PAPER
from convscope.scanning.class_colours import COLOURS, NAMED, OTHER, classes, legend
from convscope.scanning.map import Map, map_of
from convscope.scanning.map_picture import dotted, gridded, scattered
from convscope.scanning.neighbourhood import knn_accuracy
from convscope.scanning.scan import scan
from convscope.scanning.stored import Scan


@pytest.fixture(scope="module")
def digits_map(digits_scan: Scan) -> Map:
    return map_of(digits_scan)


@pytest.fixture(scope="module")
def photographs_map(photographs_scan: Scan) -> Map:
    return map_of(photographs_scan)


def test_handwritten_digits_lie_with_their_like(digits_scan: Scan, digits_map: Map) -> None:
    assert digits_map.positions.shape == (len(digits_scan), 2)
    assert digits_map.positions.dtype == np.float32
    assert digits_map.positions.min() >= 0
    assert digits_map.positions.max() <= 1
    assert np.ptp(digits_map.positions, axis=0).max() == pytest.approx(1)
    assert digits_map.layer == list(digits_scan.layers)[-1]
    labels = digits_scan.images.classes.tolist()
    assert sorted(set(labels)) == list(range(10))
    assert knn_accuracy(digits_map.positions, labels) >= 0.95


def test_deeper_codes_know_digits_better(digits_scan: Scan) -> None:
    labels = digits_scan.images.classes.tolist()
    accuracies = [knn_accuracy(digits_scan.codes(layer), labels, normalize=True) for layer in digits_scan.layers]
    assert len(accuracies) >= 3
    assert all(later > earlier for earlier, later in pairwise(accuracies))
    assert accuracies[-1] >= 0.95


def test_photographs_lie_by_their_parts(photographs_scan: Scan, photographs_map: Map) -> None:
    accuracy = knn_accuracy(photographs_map.positions, photographs_scan.images.labels, k=3)
    assert accuracy >= 0.8


def test_a_picture_of_the_map_is_placed_where_it_lies(photographs_scan: Scan, photographs_map: Map) -> None:
    row = photographs_scan.images.names.index("rocket/mirrored.jpg")
    image = photographs_scan.open(int(photographs_map.ids[row]))
    placed = photographs_map.place(image)
    assert placed.shape == (2,)
    assert np.abs(placed - photographs_map.positions[row]).max() < 0.1
    others = photographs_map.place([image, torch.rand(3, 90, 70)])
    assert others.shape == (2, 2)
    np.testing.assert_allclose(others[0], placed, atol=1e-6)
    assert others.min() >= 0
    assert others.max() <= 1
    assert photographs_map.place(torch.rand(3, 3, 64, 64)).shape == (3, 2)
    assert photographs_map.place([]).shape == (0, 2)


def test_a_grid_gives_each_its_cell(photographs_scan: Scan) -> None:
    found = map_of(photographs_scan, method="pca", layout="grid", colour=None)
    assert found.cells is not None
    assert len({tuple(cell) for cell in found.cells.tolist()}) == len(photographs_scan)
    picture = found.picture(size=500)
    assert picture.size == (500, 500)
    row = photographs_scan.images.names.index("chelsea/whole.jpg")
    down, across = found.cells[row].tolist()
    shown = picture.crop((across * 100, down * 100, across * 100 + 100, down * 100 + 100))
    original = _middle(photographs_scan.open(int(found.ids[row])), 100)
    assert np.abs(np.asarray(shown, float) - original)[1:-1, 1:-1].mean() < 2


def _middle(image: torch.Tensor, side: int) -> np.ndarray[Any, Any]:
    """The middle square of an image, made smaller by Pillow."""
    least = min(image.shape[-2:])
    top, left = (image.shape[-2] - least) // 2, (image.shape[-1] - least) // 2
    square = image[:, top : top + least, left : left + least]
    picture = Image.fromarray((square * 255).round().byte().permute(1, 2, 0).numpy())
    return np.asarray(picture.resize((side, side), Image.Resampling.LANCZOS), float)


@pytest.mark.parametrize("options", [{}, {"dots": True}, {"dots": True, "marks": [(0.5, 0.5, "here")]}])
def test_pictures_show_every_class_and_name_it(digits_map: Map, options: dict[str, Any]) -> None:
    picture = digits_map.picture(size=600, **options)
    assert digits_map.classes is not None
    strip = legend(digits_map.classes.entries, picture.width)
    assert 600 - 20 <= max(picture.width, picture.height - strip.height) <= 600
    lower = picture.height - strip.height
    assert picture.crop((0, lower, picture.width, picture.height)).tobytes() == strip.tobytes()
    colours = {colour for _, colour in picture.crop((0, 0, picture.width, lower)).getcolors(1 << 24) or []}
    if not options:
        assert set(COLOURS[:10]) <= colours


def test_pictures_are_the_same_each_time(digits_scan: Scan, digits_map: Map) -> None:
    again = map_of(digits_scan)
    np.testing.assert_array_equal(again.positions, digits_map.positions)
    assert again.picture(size=300, dots=True).tobytes() == digits_map.picture(size=300, dots=True).tobytes()
    assert again.recipe == digits_map.recipe


def test_any_box_of_a_scene_is_a_part_of_the_whole() -> None:
    random = np.random.default_rng(0)
    places, cells = random.random((40, 2)), np.array([(row, column) for row in range(5) for column in range(8)])

    def square(row: int) -> Image.Image:
        return Image.new("RGB", (30, 30), (row * 5, 255 - row * 3, 90))

    for scene in (
        scattered(places, 300, 30, square), dotted(places, 300, 30, square, 0), gridded(cells, 30, square),
    ):  # fmt: skip
        whole = scene.draw()
        assert whole.size == (scene.width, scene.height)
        for upper in range(0, scene.height, 37):
            box = (11, upper, scene.width, min(scene.height, upper + 37))
            assert scene.draw(box).tobytes() == whole.crop(box).tobytes()


def test_empty_edges_are_cut_off_and_spots_stay_on_their_pictures() -> None:
    places = np.array([[0.0, 0.4], [1.0, 0.6], [0.5, 0.5]])

    def square(row: int) -> Image.Image:
        return Image.new("RGB", (20, 20), ((200, 0, 0), (0, 200, 0), (0, 0, 200))[row])

    scene = scattered(places, 200, 20, square)
    whole = scene.draw()
    assert whole.size == (200, 62)
    assert [whole.getpixel(scene.spot(place)) for place in places] == [(200, 0, 0), (0, 200, 0), (0, 0, 200)]
    assert scene.spot((0.5, 0.0)) == (100, 0)


@given(
    places=arrays(np.float64, st.tuples(st.integers(1, 20), st.just(2)), elements=st.floats(0, 1)),
    side=st.integers(3, 60),
    dots=st.booleans(),
    flat=st.floats(0, 1),
)
@settings(deadline=None)
def test_what_is_drawn_is_whole_and_the_sheet_ends_around_it(
    places: NDArray[Any], side: int, dots: bool, flat: float
) -> None:
    squares = [Image.new("RGB", (side, side), (row + 1, 0, 0)) for row in range(len(places))]
    places = places * (1, flat)
    draw = (
        dotted(places, 300, side, squares.__getitem__, 0) if dots else scattered(places, 300, side, squares.__getitem__)
    )
    left, top, right, bottom = draw.left, draw.top, draw.left + side, draw.top + side
    margin = max(4, side // 8)
    assert (left.min(), top.min()) == (margin, margin)
    assert (right.max(), bottom.max()) == (draw.width - margin, draw.height - margin)
    assert max(draw.width, draw.height) <= 300
    # One scale both ways: a pixel is the same share of the map across and down.
    scale = 300 - side - 2 * margin
    spots = np.array([draw.spot(place) for place in places[draw.rows]])
    np.testing.assert_allclose(spots - spots[0], (places[draw.rows] - places[draw.rows[0]]) * scale, atol=1)
    inked = np.asarray(draw.draw())
    assert (inked[:margin] == PAPER).all()
    assert (inked[:, -margin:] == PAPER).all()
    assert {tuple(colour) for colour in inked.reshape(-1, 3).tolist()} >= {squares[draw.rows[-1]].getpixel((0, 0))}


def test_removed_pictures_are_left_out(tmp_path: Path) -> None:
    digits = digits_network()
    folder = tmp_path / "some"
    folder.mkdir()
    for at, image in enumerate(digits.images[:12]):
        Image.fromarray((image[0] * 255).byte().numpy()).save(folder / f"{at:02}.png")
    scan(digits.network, folder, out=tmp_path / "some.scan", engine="torch", workers=0)
    (folder / "03.png").unlink()
    again = scan(digits.network, folder, out=tmp_path / "some.scan", engine="torch", workers=0)
    found = map_of(again, method="pca", layout="grid")
    assert len(found.ids) == 11
    assert found.classes is None
    names = [each["name"] for each in json.loads(found.to_json())["images"]]
    assert "03.png" not in names
    assert found.picture(size=400).width > 300
    for each in folder.glob("*.png"):
        each.unlink()
    # What the scan kept of a file stands in for it.
    assert found.picture(size=400).width > 300
    gone = scan_without_pictures(again)
    with pytest.raises(ConvscopeError, match="no picture that is still there"):
        map_of(gone)


def scan_without_pictures(found: Scan) -> Scan:
    found.images.removed[:] = True
    return found


def test_bad_options_are_named(digits_scan: Scan, digits_map: Map) -> None:
    with pytest.raises(ConvscopeError, match="unknown layout 'gird'; nearest: grid"):
        map_of(digits_scan, layout="gird")  # type: ignore[arg-type]
    with pytest.raises(ConvscopeError, match="unknown colour 'labels'; nearest: label"):
        map_of(digits_scan, colour="labels")  # type: ignore[arg-type]
    with pytest.raises(ConvscopeError, match="unknown method"):
        map_of(digits_scan, method="isomap")  # type: ignore[arg-type]
    with pytest.raises(LayerError):
        map_of(digits_scan, layer="relu9")
    with pytest.raises(ConvscopeError, match="a map of 10 pixels"):
        digits_map.picture(size=10)
    with pytest.raises(ConvscopeError, match="pictures of 2 pixels"):
        digits_map.tiles("nowhere", side=2)
    with pytest.raises(cs.Cancelled):
        map_of(digits_scan, progress=lambda progress: False)


def test_predictions_colour_a_map(digits_scan: Scan, photographs_scan: Scan) -> None:
    found = map_of(digits_scan, method="pca", colour="prediction").classes
    assert found is not None
    assert found.names == tuple(str(digit) for digit in range(10))
    right = np.mean(
        [found.names[index] == str(kind) for index, kind in zip(found.of, digits_scan.images.classes, strict=True)]
    )
    assert right > 0.9
    labels = map_of(photographs_scan, method="pca", colour="prediction").classes
    assert labels is not None
    assert any("cat" in name for name in labels.names)


def test_many_classes_are_named_only_in_part() -> None:
    labels = [f"class {at}" for at in range(30) for _ in range(at + 1)] + [None]
    found = classes(labels)
    assert len(found.names) == NAMED
    assert found.names[0] == "class 10"
    assert (found.others, found.unknown) == (sum(range(1, 11)), 1)
    assert found.colour(0) == OTHER
    assert found.colour(len(labels) - 2) == COLOURS[19]
    assert [name for _, name in found.entries[-2:]] == ["other classes (55)", "no class known (1)"]
    assert sum(found.counts) + found.others + found.unknown == len(labels)
    assert classes([str(at) for at in range(99)]).names == ()


def test_colours_differ_for_those_who_see_no_red_or_no_green() -> None:
    # Machado, Oliveira and Fernandes 2009, severity 1, on linear light; Björn Ottosson's Oklab.
    protan = [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    deutan = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    levels = np.array(COLOURS) / 255
    light = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    for seen in (np.eye(3), np.array(protan), np.array(deutan)):
        lab = _oklab(np.clip(light @ seen.T, 0, 1))
        away = np.linalg.norm(lab[:, None] - lab[None], axis=-1) + 9 * np.eye(len(lab))
        assert away[:10, :10].min() > 0.08
        assert away.min() > 0.055


def _oklab(light: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    cones = [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
    lab = [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
    return np.asarray(np.cbrt(light @ np.array(cones).T) @ np.array(lab).T)


def test_json_tells_what_there_is(photographs_scan: Scan, photographs_map: Map) -> None:
    told = json.loads(photographs_map.to_json(marks=[(0.1, 0.2, "other")]))
    assert [each["name"] for each in told["images"]] == photographs_scan.images.names
    assert told["images"][0]["position"] == pytest.approx(photographs_map.positions[0].tolist(), abs=1e-5)
    assert told["images"][0]["label"] == photographs_scan.images.labels[0]
    assert told["marks"] == [{"name": "other", "position": [0.1, 0.2]}]
    assert "cell" not in told["images"][0]


def test_the_command_writes_what_it_is_asked_for(photographs_scan: Scan, crops: Path, tmp_path: Path) -> None:
    out, tiles = tmp_path / "map.png", tmp_path / "tiles"
    other = crops / "coffee" / "whole.jpg"
    asked = [
        "map",
        str(photographs_scan.path),
        "--method",
        "pca",
        "--layout",
        "grid",
        "--out",
        str(out),
        "--size",
        "400",
    ]
    asked += ["--place", str(other), "--tiles", str(tiles), "--json"]
    ran = CliRunner().invoke(app, asked)
    assert ran.exit_code == 0, ran.output
    told = json.loads(ran.stdout)
    assert len(told["images"]) == len(photographs_scan)
    assert told["marks"][0]["name"] == "whole.jpg"
    assert (tiles / "index.html").is_file()
    recipe = read_recipe(out)
    assert (recipe.method, recipe.parameters["layout"], recipe.picture["size"]) == ("map", "grid", 400)
    bad = CliRunner().invoke(app, ["map", str(photographs_scan.path), "--method", "umpa"])
    assert isinstance(bad.exception, ConvscopeError)
    assert "nearest: umap" in str(bad.exception)
