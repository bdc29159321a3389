"""`convscope scan`, run as a user runs it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import convscope as cs
from convscope.cli.app import app
from convscope.errors import ConvscopeError
from convscope.image.bundled import photograph

pytest.importorskip("lancedb")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two photographs, and a file that only claims to be one."""
    (tmp_path / "photos").mkdir()
    for name in ("coffee", "rocket"):
        file = photograph(name)
        (tmp_path / "photos" / file.name).write_bytes(file.read_bytes())
    (tmp_path / "photos" / "broken.jpg").write_text("no picture")
    return tmp_path / "photos"


def test_a_scan_tells_what_it_holds_and_goes_on(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = ["--engine", "torch", "--layers", "blocks.4,flatten"]
    ran = CliRunner().invoke(app, ["scan", str(folder), *options])
    assert ran.exit_code == 0, ran.output
    assert "photos.scan: 2 pictures, by efficientnet-lite0" in ran.stdout
    assert "blocks.4 (40), flatten (1280)" in ran.stdout
    assert "left out broken.jpg" in ran.stderr
    ran = CliRunner().invoke(app, ["scan", str(folder), "--layers", "blocks.2", "--json"])
    told = json.loads(ran.stdout)
    assert told["images"] == 2
    assert told["layers"]["blocks.2"] == [24, 56, 56]
    assert [each["path"] for each in told["unreadable"]] == ["broken.jpg"]
    assert len(cs.open_scan("photos.scan")) == 2


def test_bad_input_is_told_in_one_line(tmp_path: Path) -> None:
    ran = CliRunner().invoke(app, ["scan", str(tmp_path / "none"), "--out", str(tmp_path / "x.scan")])
    assert isinstance(ran.exception, ConvscopeError)
    assert "there is no folder" in str(ran.exception)
    assert not (tmp_path / "x.scan").exists()
