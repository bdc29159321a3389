"""`convscope invert`: an image from a code, a plate of all stages, and what does not go together."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import convscope as cs
from convscope.cli.app import app
from convscope.errors import ConvscopeError
from convscope.image.write import read_recipe


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["invert", "chelsea", *arguments, "--steps", "2"], catch_exceptions=True)


def test_one_layer() -> None:
    result = run("-l", "blocks.1", "--start", "coffee")
    assert result.exit_code == 0, result.output
    assert cs.read_image(result.stdout.strip()).shape == (3, 224, 224)
    assert "code error" in result.stderr
    assert [given.name for given in read_recipe(result.stdout.strip()).inputs] == ["chelsea", "coffee"]


def test_several_layers_are_a_plate() -> None:
    result = run("-l", "blocks.0,blocks.1", "--json", "-o", "plate.png")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert [each["layer"] for each in told["images"]] == ["blocks.0", "blocks.1"]
    assert Path("plate.png").exists()


def test_a_sheet_over_the_prior() -> None:
    result = run("-l", "blocks.0", "--grid", "tv.weight=0,100", "-o", "sheet.png")
    assert result.exit_code == 0, result.output
    assert read_recipe("sheet.png").parameters["grid"] == [["tv.weight", [0, 100]]]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-l", "blocks.33"], "no layer 'blocks.33'"),
        (["-l", "blocks.0,blocks.1", "-c", "2"], "--count"),
        (["--preset", "deep"], "no preset 'deep'"),
    ],
)
def test_bad_input_is_one_clear_error(arguments: list[str], says: str) -> None:
    result = run(*arguments)
    assert isinstance(result.exception, ConvscopeError)
    assert says in str(result.exception)
    assert not list(Path().iterdir())


def test_codes_that_give_photographs_away() -> None:
    arguments = ["identified", "chelsea", "coffee", "-l", "blocks.0", "--steps", "8", "--json", "-o", "who.png"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["rates"]["pixels"] == 1.0
    assert told["nearest"]["pixels"] == ["chelsea", "coffee"]
    assert "by chance 50%" in result.stderr
    assert read_recipe("who.png").method == "identified"
    alone = CliRunner().invoke(app, ["identified", "chelsea"])
    assert "expected two or more" in str(alone.exception)
