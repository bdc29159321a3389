"""`convscope style`: pictures in the manner of others."""

from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

import convscope as cs
from convscope.cli.app import app
from convscope.errors import ConvscopeError
from convscope.image.write import read_recipe, to_picture, write_png

LITE = ["-n", "efficientnet-lite0", "--size", "48", "--steps", "1"]


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["style", *arguments], catch_exceptions=True)


def test_several_styles_and_what_is_kept_in_the_recipe() -> None:
    result = run("coffee", "brick", "grass", "-w", "3", "-w", "1", *LITE, "--colour", "matched", "--sizes", "64,48")
    assert result.exit_code == 0, result.output
    assert result.stdout.split() == ["coffee-brick-grass-style.png"]
    assert "content error" in result.stderr
    recipe = read_recipe("coffee-brick-grass-style.png")
    assert recipe.parameters["weights"] == [0.75, 0.25]
    assert recipe.parameters["sizes"] == [64, 48]
    assert [each.name for each in recipe.inputs] == ["coffee", "brick", "grass"]


def test_going_on_with_a_picture_and_masks() -> None:
    first = run("coffee", "brick", *LITE, "-o", "first.png")
    assert first.exit_code == 0, first.output
    mask = torch.zeros(3, *cs.read_image("first.png").shape[1:])
    for name, value in (("left.png", mask + 1), ("right.png", mask + 0.5)):
        write_png(Path(name), to_picture(value))
    masks = ["--mask", "left.png", "--mask", "right.png"]
    result = run("coffee", "brick", "grass", *LITE, *masks, "--start", "first.png", "-o", "second.png")
    assert result.exit_code == 0, result.output
    recipe = read_recipe("second.png")
    assert (recipe.parameters["masks"], recipe.parameters["start"], recipe.parameters["sizes"]) == (2, "image", [48])
    assert [each.name for each in recipe.inputs][3:] == ["left.png", "right.png", "first.png"]
    assert cs.redo("second.png", "again.png") == ()
    assert Path("again.png").read_bytes() == Path("second.png").read_bytes()


def test_the_trade_off_and_a_preview() -> None:
    result = run("coffee", "brick", *LITE, "--grid", "style_weight=1,100", "--preview", "now.png", "--json")
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == '{"figure": "coffee-brick-style.png"}'
    assert read_recipe("coffee-brick-style.png").parameters["of"] == "style"
    assert Path("now.png").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["coffee", "brick", *LITE, "-w", "1", "-w", "2"], "got 2 weights for 1 styles"),
        (["coffee", "brick", *LITE, "--statistics", "gramm"], "nearest: gram"),
        (["coffee", "brick", *LITE, "--sizes", "small"], "can't understand --sizes 'small'"),
        (["coffee", "brick", *LITE, "--style-layer", "nought"], "no layer 'nought'"),
        (["coffee", "brick", *LITE, "--mask", "brick"], "expected the content's size"),
        (["coffee", "nowhere.jpg", *LITE], "nowhere.jpg"),
        (["nowhere.jpg", "brick", *LITE], "nowhere.jpg"),
        (["coffee", "brick", *LITE, "--mask", "nowhere.png"], "nowhere.png"),
        (["coffee", "brick", *LITE, "--start", "nowhere.png"], "nowhere.png"),
        (["coffee", "brick", *LITE, "-w", "0"], "expected none below 0"),
        (["coffee", "brick", *LITE, "-w", "nan"], "expected none below 0"),
        (["coffee", "brick", *LITE, "--tile", "16"], "got tile=16, expected at least"),
        (["coffee", "brick", *LITE, "--tile", "16", "--smooth"], "leave tile out, or smoothing"),
        (["coffee", "brick", *LITE, "-o", "one.jpg"], "name it .png"),
        (["coffee", "brick"], "convscope fetch vgg16-hed"),
    ],
)
def test_bad_input_is_one_clear_error(arguments: list[str], says: str) -> None:
    result = run(*arguments)
    assert isinstance(result.exception, ConvscopeError)
    assert says in str(result.exception)
    assert not list(Path().iterdir())


def test_a_style_that_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a picture")
    result = run("coffee", "notes.txt", *LITE)
    assert isinstance(result.exception, ConvscopeError)
    assert "notes.txt" in str(result.exception)


def test_smoothing_and_windows_are_in_the_recipe() -> None:
    layers = ["--style-layer", "blocks.0", "--style-layer", "blocks.2", "--content-layer", "blocks.2"]
    large = [*LITE[:2], "--size", "260", "--sizes", "260", "--steps", "1", "--tile", "228"]
    result = run("coffee", "brick", *large, *layers, "-o", "one.png")
    assert result.exit_code == 0, result.output
    result = run("coffee", "brick", *LITE, "--smooth", "-o", "two.png")
    assert result.exit_code == 0, result.output
    told = [read_recipe(f"{name}.png").parameters for name in ("one", "two")]
    assert [(each["tile"], each["smoothing"]) for each in told] == [(228, False), (None, True)]
    assert cs.redo("one.png", "again.png") == ()
    assert Path("again.png").read_bytes() == Path("one.png").read_bytes()


def test_a_style_is_needed() -> None:
    assert run("coffee").exit_code == 2


def test_where_nothing_can_be_written_is_told_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("taken").write_text("")
    monkeypatch.setattr("convscope.synthesis.style.style", None)
    for place in (["--out", "taken/one.png"], ["--preview", "taken/one.png"]):
        result = run("coffee", "brick", *LITE, *place)
        assert "taken is a file, not a folder" in str(result.exception)
