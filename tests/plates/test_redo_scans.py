"""Redo: pictures of a scan made again byte for byte, where the scan is there."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.scanning.little import little_network, little_pictures, scan_little

import convscope as cs
from convscope.errors import RecipeError
from convscope.plates import redo_scans
from convscope.render.result import Pictured

pytest.importorskip("lancedb")

SMALL: dict[str, Callable[[cs.Scan], Pictured]] = {
    "layer_plate": lambda scan: cs.layer_plate(scan, channels=2),
    "map": lambda scan: scan.map("pca", layout="grid", seed=3),
    "mistakes": lambda scan: scan.mistakes(limit=3),
    "neighbours": lambda scan: scan.neighbours(3, k=2),
    "top_patches": lambda scan: scan.top_patches("3", channel=[2, 5], projections=["guided"]),
    "units": lambda scan: scan.units("3"),
}


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> cs.Scan:
    folder = tmp_path_factory.mktemp("redo")
    pictures = little_pictures(folder / "pictures", 30)
    scan_little(pictures, folder / "x.scan", layers=["1", "3", "5"])
    return cs.open_scan(folder / "x.scan", little_network())


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name by which the little network can be loaded here."""

    def load(name: str, **options: Any) -> cs.Network:
        assert name == "tests:little"
        return little_network()

    monkeypatch.setattr(redo_scans, "load", load)
    return "tests:little"


def test_all_that_a_scan_shows_is_tried() -> None:
    assert set(SMALL) == set(redo_scans.METHODS)


@pytest.mark.parametrize("method", SMALL)
def test_a_picture_of_a_scan_is_made_again(method: str, scan: cs.Scan, network: str, tmp_path: Path) -> None:
    SMALL[method](scan).save(tmp_path / "picture.png")
    shutil.copytree(scan.path, tmp_path / scan.path.name)
    cs.redo(tmp_path / "picture.png", tmp_path / "again.png", network=network)
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "picture.png").read_bytes()


def test_the_scan_is_where_one_says(scan: cs.Scan, network: str, tmp_path: Path) -> None:
    scan.units("3").save(tmp_path / "picture.png")
    with pytest.raises(RecipeError, match=r"'x\.scan'.*--input FOLDER"):
        cs.redo(tmp_path / "picture.png", tmp_path / "again.png", network=network)
    cs.redo(tmp_path / "picture.png", tmp_path / "again.png", network=network, source=str(scan.path))
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "picture.png").read_bytes()
