"""`convscope preferred` and `convscope facets`."""

from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

import convscope as cs
from convscope.cli.app import app
from convscope.image.write import read_recipe, to_picture


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def photographs() -> Path:
    folder = Path("photographs")
    folder.mkdir()
    for name in ("chelsea", "coffee", "flower", "rocket"):
        to_picture(cs.read_image(name, 300)).save(folder / f"{name}.png")
    return folder


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, arguments, catch_exceptions=True)


def test_a_plate() -> None:
    layers = ["blocks.0:3,5", "blocks.2"]
    result = run("preferred", *layers, "-c", "1", "--classes", "tench; class:207", "--steps", "1", "--size", "40x32",
                 "--transforms", "jitter:2", "--regularizers", "tv:1")  # fmt: skip
    assert result.exit_code == 0, result.output
    (file,) = [Path(line) for line in result.stdout.splitlines()]
    parameters = read_recipe(file).parameters
    assert parameters["layers"] == layers
    assert parameters["classes"] == ["tench", "class:207"]
    assert parameters["size"] == [32, 40]
    assert (parameters["transforms"], parameters["regularizers"]) == ("jitter:2", "tv:1")
    cs.redo(file, "again.png")
    assert Path("again.png").read_bytes() == file.read_bytes()


def test_facets_of_a_folder_and_of_a_scan(photographs: Path) -> None:
    quick = ["--facets", "2", "--top", "3", "--steps", "1"]
    assert run("facets", "tabby", str(photographs), *quick, "-o", "folder.png").exit_code == 0
    cs.scan(cs.load("efficientnet-lite0"), photographs, layers=["blocks.2"], out="some.scan", engine="torch", workers=0)
    result = run("facets", "blocks.2:3", "some.scan", *quick, "--layer", "blocks.2", "-o", "scan.png")
    assert result.exit_code == 0, result.output
    recipes = [read_recipe(each) for each in ("folder.png", "scan.png")]
    assert [each.parameters["target"] for each in recipes] == ["tabby", "blocks.2:3"]
    assert all(len(each.inputs) == 3 for each in recipes)
    assert {str(each.name) for each in recipes[0].inputs} < {path.name for path in photographs.iterdir()}
    for made in ("folder.png", "scan.png"):
        Path(made).rename(photographs / made)
        cs.redo(photographs / made, "again.png")
        assert Path("again.png").read_bytes() == (photographs / made).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["preferred", "blocks.99"], "no layer 'blocks.99'"),
        (["preferred", "blocks.0:16"], "channels 0 to 15"),
        (["preferred", "-o", "plate.jpg"], "PNG"),
        (["facets", "tabby", "nowhere"], "nowhere"),
        (["facets", "no such thing", "photographs"], "no class or layer"),
    ],
)
def test_bad_input(arguments: list[str], says: str, photographs: Path) -> None:
    result = run(*arguments)
    assert result.exit_code != 0
    assert says in f"{result.output}{result.stderr}{result.exception}"
    assert list(Path().glob("*.png")) == []
    assert torch.is_grad_enabled()
