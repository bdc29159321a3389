"""`convscope faithfulness`: the table on a folder of photographs."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from convscope.cli.app import app
from convscope.errors import ConvscopeError
from convscope.image.bundled import photograph
from convscope.image.write import read_recipe


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(photograph("chelsea"), tmp_path / "chelsea.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return tmp_path


def test_it_prints_the_table_and_writes_the_curves(folder: Path) -> None:
    out = folder / "curves" / "out.png"
    out.parent.mkdir()
    asked = ["faithfulness", str(folder), "-m", "saliency", "--no-verdict", "--out", str(out)]
    ran = CliRunner().invoke(app, asked)
    assert ran.exit_code == 0, ran.output
    lines = ran.stdout.splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["method", "saliency"]
    assert "broken.png" in ran.stdout
    assert read_recipe(out).method == "faithfulness_table"


def test_json_holds_the_same(folder: Path) -> None:
    asked = ["faithfulness", str(folder), "-m", "grad-cam", "--no-verdict", "--limit", "2", "--json"]
    ran = CliRunner().invoke(app, asked)
    whole = json.loads(ran.stdout)
    assert whole["photographs"] == 1
    assert (whole["methods"][0]["method"], whole["methods"][0]["verdicts"]) == ("grad-cam", None)
    assert whole["unreadable"][0]["file"].endswith("broken.png")


def test_an_unknown_method_is_an_error_with_the_nearest(folder: Path) -> None:
    ran = CliRunner().invoke(app, ["faithfulness", str(folder), "-m", "occlusions"])
    assert isinstance(ran.exception, ConvscopeError)
    assert "nearest: occlusion" in str(ran.exception)
