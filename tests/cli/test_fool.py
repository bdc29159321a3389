"""`convscope fool`: pictures, what is told of them, and what can't be asked."""

import json
import re
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
    return CliRunner().invoke(app, ["fool", *arguments], catch_exceptions=True)


def test_a_class_from_noise() -> None:
    result = run("cheetah", "-p", "0.2", "--steps", "4")
    assert result.exit_code == 0, result.output
    (file,) = [Path(line) for line in result.stdout.splitlines()]
    assert cs.read_image(file).shape == (3, 224, 224)
    assert "cheetah: " in result.stderr
    assert read_recipe(file).parameters["target"] == ["class:293"]


def test_a_photograph_as_any_class_beside_what_it_was() -> None:
    result = run("--random", "--start", "chelsea", "--beside", "-p", "0.1", "--steps", "2", "--json", "-o", "f.png")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    (image,) = told["images"]
    assert image["before"] == "tiger cat"
    assert image["file"] == "f-1.png"
    assert cs.read_image("f-1.png").shape == (3, 224, 224)
    assert cs.read_image("f.png").shape[2] > 600
    cs.redo("f.png", "again.png")
    assert Path("again.png").read_bytes() == Path("f.png").read_bytes()


def test_evolved() -> None:
    result = run("bagel", "class:3", "--evolve", "cppn:most=5", "--evaluations", "4", "--batch", "2", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["evaluations"] == 4
    assert told["classes"][0]["label"] == "bagel"
    assert read_recipe("evolved-cppn.png").method == "evolve"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "--random"),
        (["cheetah", "--random"], "--random"),
        (["--random", "--evolve", "cppn"], "--random"),
        (["cheetah", "--evaluations", "5"], "--evolve"),
        (["cheeta"], "cheetah"),
        (["cheetah", "--start", "nowhere.png"], "nowhere.png"),
        (["--evolve", "pixels"], "direct, cppn"),
        (["cheetah", "-o", "out.jpg"], "out.png|PNG"),
    ],
)
def test_what_can_not_be_asked(arguments: list[str], says: str) -> None:
    result = run(*arguments)
    assert result.exit_code != 0
    assert isinstance(result.exception, ConvscopeError)
    assert re.search(says, str(result.exception))
