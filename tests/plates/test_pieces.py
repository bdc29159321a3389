"""Pieces of the bundled photographs, and what the demo shows of them."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.scanning.little import little_network

import convscope as cs
from convscope.plates import pieces


def test_pieces_laid_side_by_side_are_the_photograph(tmp_path: Path) -> None:
    written = pieces.write_pieces(tmp_path, ["coffee"])
    at = {path.stem: np.asarray(Image.open(path)) for path in written}
    rows, columns = (1 + max(int(name.split("-")[axis]) for name in at) for axis in (0, 1))
    whole = np.concatenate(
        [np.concatenate([at[f"{row}-{column}"] for column in range(columns)], axis=1) for row in range(rows)]
    )
    assert rows * columns == len(written) > 4
    assert np.array_equal(whole, (cs.read_image("coffee") * 255).round().byte().permute(1, 2, 0).numpy())


def test_pieces_that_are_there_stay(tmp_path: Path) -> None:
    first = pieces.write_pieces(tmp_path, ["chelsea"])
    before = [path.stat().st_mtime_ns for path in first]
    assert pieces.write_pieces(tmp_path, ["chelsea"]) == first
    assert [path.stat().st_mtime_ns for path in first] == before


def test_the_demo_has_patches_a_map_and_neighbours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("lancedb")
    few = partial(pieces.write_pieces, photographs=["chelsea", "coffee", "rocket"])
    monkeypatch.setattr(pieces, "write_pieces", few)
    shown = dict(pieces.look_at_pieces(little_network(), tmp_path))
    assert list(shown) == ["patches", "map", "neighbours"]
    assert all(each.picture().width > 200 for each in shown.values())
    assert len(cs.open_scan(tmp_path / "pieces.scan", little_network())) > 20
