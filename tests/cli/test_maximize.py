"""`convscope maximize`: pictures, sheets, previews, and what is left when it is stopped."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import convscope as cs
from convscope.cli import making
from convscope.cli.app import app
from convscope.errors import Cancelled, ConvscopeError, ImageError
from convscope.image.write import read_recipe
from convscope.progress import Progress

QUICK = ["--steps", "2", "--size", "48"]


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["maximize", *arguments], catch_exceptions=True)


def test_one_image_and_its_recipe() -> None:
    result = run("blocks.3:12", *QUICK, "--regularizers", "tv:1 blur:0.5,every=2", "--start", "chelsea")
    assert result.exit_code == 0, result.output
    (file,) = [Path(line) for line in result.stdout.splitlines()]
    assert cs.read_image(file).shape == (3, 48, 48)
    recipe = read_recipe(file)
    assert recipe.parameters["regularizers"] == ["tv:weight=1.0,beta=2.0", "blur:sigma=0.5,every=2"]
    assert [given.name for given in recipe.inputs] == ["chelsea"]


def test_several_are_a_figure_and_files() -> None:
    result = run("class:207", "blocks.3:12", "-c", "2", *QUICK, "--json", "-o", "out/several.png")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert Path(told["figure"]).exists()
    assert [each["target"] for each in told["images"]] == ["class:207"] * 2 + ["blocks.3:12"] * 2
    assert told["images"][0]["probability"] is not None
    assert told["images"][2]["probability"] is None
    assert all(cs.read_image(each["file"]).shape == (3, 48, 48) for each in told["images"])


def test_a_sheet_over_parameters() -> None:
    result = run("blocks.3:12", *QUICK, "--grid", "steps=1,2", "--grid", "blur.sigma=0,1", "-o", "sheet.png")
    assert result.exit_code == 0, result.output
    recipe = read_recipe("sheet.png")
    assert recipe.method == "sheet"
    assert recipe.parameters["grid"] == [["steps", [1, 2]], ["blur.sigma", [0, 1]]]
    assert recipe.parameters["of"] == "maximize"
    cs.redo("sheet.png", "again.png")
    assert Path("again.png").read_bytes() == Path("sheet.png").read_bytes()


def test_a_preview_is_written_while_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "_REDRAWN", 0.0)
    assert run("blocks.3:12", *QUICK, "--preview", "now.png").exit_code == 0
    assert cs.read_image("now.png").shape == (3, 48, 48)


def test_stopped_it_leaves_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(self: Any, progress: Progress) -> None:
        self._last = progress
        if progress.done == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("convscope.cli.progress._Bar.__call__", interrupt)
    result = run("blocks.3:12", "--steps", "5", "--size", "48", "-o", "image.png")
    assert isinstance(result.exception, Cancelled)
    assert "image-unfinished.png" in result.stderr
    assert cs.read_image("image-unfinished.png").shape == (3, 48, 48)
    assert not Path("image.png").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["blocks.33:1"], "no layer 'blocks.33'"),
        (["blocks.3:12", "--preset", "deep"], "no preset 'deep'"),
        (["blocks.3:12", "--size", "big"], "can't understand the size 'big'"),
        (["blocks.3:12", "--grid", "steps"], "expected NAME=VALUE"),
        (["blocks.3:12", "--grid", "stepz=1"], "nearest: steps"),
        (["blocks.3:12", "--optimizer", "adam:fast"], "'fast' is no number"),
        (["blocks.3:12", "-o", "image.jpg"], "name it .png"),
        (["blocks.3:12", "--start", "nowhere.png"], "nowhere.png"),
    ],
)
def test_bad_input_is_one_clear_error(arguments: list[str], says: str) -> None:
    result = run(*arguments)
    assert isinstance(result.exception, ConvscopeError)
    assert says in str(result.exception)
    assert not list(Path().iterdir())


def test_help_lists_the_presets() -> None:
    shown = run("--help").output
    for preset in ("lucid", "simonyan", "yosinski", "maco"):
        assert preset in shown


def test_sizes_are_width_first() -> None:
    assert making.size_of("320x240") == (240, 320)
    assert making.size_of("64") == (64, 64)
    assert making.size_of(None) is None
    with pytest.raises(ImageError):
        making.make("maximize", [], {}, label="", out=Path("a.gif"))
