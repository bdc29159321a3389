"""`convscope dream`: pictures, sheets, films, and what is left when it is stopped."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import convscope as cs
from convscope.cli import dream as command
from convscope.errors import Cancelled, ConvscopeError
from convscope.image.film import open_film, write_film
from convscope.image.write import read_recipe
from convscope.progress import Progress

BRIEF = ["--octaves", "2", "--steps", "1", "--size", "96"]


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> Any:
    app = typer.Typer()
    app.command()(command.dream)
    return CliRunner().invoke(app, arguments, catch_exceptions=True)


def test_a_picture_its_recipe_and_its_note() -> None:
    result = run("chelsea", *BRIEF, "-t", "blocks.4", "--guide", "flower", "--jitter", "4", "--rate", "0.01")
    assert result.exit_code == 0, result.output
    assert result.stdout == "chelsea-dream-blocks.4.png\n"
    recipe = read_recipe("chelsea-dream-blocks.4.png")
    assert [given.name for given in recipe.inputs] == ["chelsea", "flower"]
    assert (recipe.parameters["jitter"], recipe.parameters["rate"]) == (4, 0.01)
    cs.redo("chelsea-dream-blocks.4.png", "again.png")
    assert Path("again.png").read_bytes() == Path("chelsea-dream-blocks.4.png").read_bytes()
    told = run("chelsea", *BRIEF, "--json", "-o", "dream.png")
    assert json.loads(told.stdout)["file"] == "dream.png"
    assert "negative values" in json.loads(told.stdout)["note"]


def test_a_sheet_over_a_parameter() -> None:
    result = run("chelsea", *BRIEF, "--grid", "target=blocks.0,blocks.4", "-o", "depth.png")
    assert result.exit_code == 0, result.output
    assert read_recipe("depth.png").method == "sheet"


def test_films_of_pictures_and_of_films() -> None:
    result = run("chelsea", *BRIEF, "--frames", "3", "--zoom", "1.1", "--rotate", "2", "-o", "fall.gif", "--fps", "10")
    assert result.exit_code == 0, result.output
    assert open_film("fall.gif").frames == 3
    result = run(
        "fall.gif", "--octaves", "1", "--steps", "1", "--keep", "0.5", "--frames", "2", "-o", "again", "--json"
    )
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {"file": "again", "frames": 2}
    assert read_recipe("again/frame-00002.png").parameters["keep"] == 0.5


def test_a_film_that_was_stopped_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ["chelsea", *BRIEF, "--frames", "2", "-o", "fall.webp", "--preview", "now.png"]
    with monkeypatch.context() as patch:
        patch.setattr(command, "previewed", lambda watcher, path: lambda progress: progress.done < 3)
        result = run(*asked)
        assert isinstance(result.exception, Cancelled)
        assert "goes on with them" in result.output
        assert [each.name for each in Path("fall-frames").iterdir()] == ["frame-00001.png"]
    assert run(*asked).exit_code == 0
    assert open_film("fall.webp").frames == 2
    assert Path("now.png").exists()
    assert not Path("fall-frames").exists()


def test_stopped_a_picture_leaves_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopping(*given: Any) -> Any:
        return lambda progress: progress.done < 1

    monkeypatch.setattr("convscope.cli.making.previewed", stopping)
    result = run("chelsea", *BRIEF, "-o", "dream.png", "--preview", "now.png")
    assert isinstance(result.exception, Cancelled)
    assert cs.read_image("dream-unfinished.png").shape == (3, 64, 96)


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [(["chelsea", "--zoom", "1.1"], "--zoom means nothing for a picture"),
     (["chelsea", "--frames", "3", "--grid", "steps=1,2"], "--grid means nothing for a film of a picture"),
     (["film", "--size", "96"], "--size means nothing for a film")],
)  # fmt: skip
def test_options_that_mean_nothing_are_refused(arguments: list[str], wrong: str) -> None:
    write_film("film", [cs.read_image("chelsea", 64)])
    result = run(*arguments)
    assert isinstance(result.exception, ConvscopeError)
    assert wrong in str(result.exception)


def test_progress_is_of_the_whole_film(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Progress] = []
    monkeypatch.setattr(command, "previewed", lambda watcher, path: seen.append)
    assert run("chelsea", *BRIEF, "--frames", "2", "-o", "fall", "--preview", "now.png").exit_code == 0
    assert (seen[0].done, seen[-1].done, seen[-1].total) == (1, 4, 4)
