"""`convscope robustness`: curves of a folder, and the table of defences."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import convscope as cs
from convscope.cli.app import app
from convscope.errors import ConvscopeError
from convscope.fooling.defences import defences as module
from convscope.image.bundled import photograph
from convscope.image.write import read_recipe


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "photos" / "tiger cat").mkdir(parents=True)
    shutil.copy(photograph("chelsea"), tmp_path / "photos" / "tiger cat" / "chelsea.png")
    return tmp_path / "photos"


def test_it_prints_the_accuracies_and_writes_the_curves(folder: Path, tmp_path: Path) -> None:
    asked = [
        "robustness",
        str(folder),
        "-e",
        "0,1/255",
        "-a",
        "fgsm,bim",
        "--steps",
        "2",
        "-o",
        str(tmp_path / "out.png"),
    ]
    ran = CliRunner().invoke(app, asked)
    assert ran.exit_code == 0, ran.output
    lines = [line.split() for line in ran.stdout.splitlines()]
    assert lines[:2] == [["epsilon", "FGSM", "BIM"], ["0", "100.0%", "100.0%"]]
    assert lines[2][0] == "1/255"
    assert read_recipe(tmp_path / "out.png").parameters["epsilons"] == [1 / 255]


def test_json_holds_the_same(folder: Path) -> None:
    ran = CliRunner().invoke(app, ["robustness", str(folder), "-e", "0.5/255", "-a", "fgsm", "--limit", "1", "--json"])
    assert json.loads(ran.stdout)["attacks"]["fgsm"][0]["epsilon"] == pytest.approx(0.5 / 255)


def test_digits_compares_defences(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    compare = cs.defences

    def small(**options: Any) -> cs.Defences:
        given.update(options)
        return compare(which=["plain"], epochs=1, images=10, steps=1)

    monkeypatch.setattr(module, "defences", small)
    ran = CliRunner().invoke(app, ["robustness", "--digits", "-e", "0,0.1", "--limit", "30"])
    assert ran.stdout.startswith("defence")
    assert (given["epsilons"], given["images"], given["steps"]) == ([0.1], 30, 20)


BAD = {
    "no folder": ([], "got no FOLDER"),
    "a folder beside the digits": (["photos", "--digits"], "beside --digits"),
    "an epsilon that is no number": (["photos", "-e", "2:255"], "the epsilon '2:255'"),
    "an epsilon over 0": (["photos", "-e", "1/0"], "the epsilon '1/0'"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_refused(what: str) -> None:
    asked, told = BAD[what]
    ran = CliRunner().invoke(app, ["robustness", *asked])
    assert isinstance(ran.exception, ConvscopeError)
    assert told in str(ran.exception)
