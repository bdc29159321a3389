"""`convscope texture`: by Gram matrices and by copying."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import convscope as cs
from convscope.cli.app import app
from convscope.errors import ConvscopeError
from convscope.image.write import read_recipe

LITE = ["-n", "efficientnet-lite0", "--read", "48", "--steps", "1"]


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["texture", "brick", *arguments], catch_exceptions=True)


@pytest.mark.parametrize(
    ("arguments", "method"),
    [
        ([*LITE, "--depth", "2"], "texture"),
        (["-m", "quilting", "--read", "64"], "quilting"),
        (["-m", "efros-leung", "--read", "24", "--window", "7"], "efros_leung"),
    ],
)
def test_each_method_makes_any_size(arguments: list[str], method: str) -> None:
    result = run(*arguments, "--size", "40x32", "-o", "more.png")
    assert result.exit_code == 0, result.output
    assert result.stdout.split() == ["more.png"]
    assert cs.read_image("more.png").shape == (3, 32, 40)
    assert read_recipe("more.png").method == method


def test_by_depth() -> None:
    result = run(*LITE, "--size", "32", "--grid", "depth=1,2", "-o", "depth.png")
    assert result.exit_code == 0, result.output
    assert read_recipe("depth.png").parameters["of"] == "texture"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-m", "quilt"], "nearest: quilting"),
        (["-m", "quilting", "--steps", "3"], "--steps belongs to --method gram"),
        ([*LITE, "--depth", "9"], "got depth=9"),
        (["-n", "vgg16-hed"], "convscope fetch vgg16-hed"),
    ],
)
def test_bad_input_is_one_clear_error(arguments: list[str], says: str) -> None:
    result = run(*arguments)
    assert isinstance(result.exception, ConvscopeError)
    assert says in str(result.exception)
    assert not list(Path().iterdir())
