"""`convscope stylize`: pictures, folders, films, lists of styles, files for ONNX Runtime."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.synthesis.fast_style.styles import small_styles
from typer.testing import CliRunner

import convscope as cs
from convscope.cli import stylize as command
from convscope.cli.app import app
from convscope.errors import Cancelled, ConvscopeError, ImageError
from convscope.image.film import open_film, write_film
from convscope.image.write import read_recipe, to_picture, write_png
from convscope.synthesis.fast_style import loading
from convscope.synthesis.fast_style.files import write_network

NETWORK = small_styles()


@pytest.fixture(autouse=True)
def _in_a_folder_with_bundled_styles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    write_network(tmp_path / "bundled.safetensors", NETWORK)
    monkeypatch.setattr(loading, "BUNDLED", tmp_path / "bundled.safetensors")
    loading._bundled.cache_clear()
    yield
    loading._bundled.cache_clear()


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["stylize", *arguments], catch_exceptions=True)


def photographs(*names: str, folder: str = "photos") -> None:
    for number, name in enumerate(names):
        picture = to_picture(cs.read_image(("coffee", "chelsea", "rocket")[number % 3], 40))
        write_png(Path(folder, name), picture)


def test_a_picture_in_the_first_style() -> None:
    result = run("coffee", "--size", "40")
    assert result.exit_code == 0, result.output
    assert result.stdout == "coffee-waves.png\n"
    expected = cs.stylize(cs.read_image("coffee", 40), "waves", network=NETWORK)
    assert cs.read_image("coffee-waves.png").equal(expected.image)
    assert cs.redo("coffee-waves.png", "again.png") == ()
    assert Path("again.png").read_bytes() == Path("coffee-waves.png").read_bytes()


def test_a_blend_and_colours() -> None:
    result = run("coffee", "--size", "40", "-s", "dots:3", "-s", "lines", "--colour", "luminance", "--json")
    assert json.loads(result.stdout) == {"files": ["coffee-dots-lines.png"], "unreadable": []}
    parameters = read_recipe("coffee-dots-lines.png").parameters
    assert parameters["style"] == {"dots": 3.0, "lines": 1.0}
    assert parameters["colour"] == "luminance"


def test_a_folder_keeps_names_and_passes_over_what_cant_be_read() -> None:
    photographs("a.png", "b.png", "more/a.png")
    Path("photos/broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    Path("photos/notes.txt").write_text("no picture, nor called one")
    result = run("photos", "--style", "dots")
    assert result.exit_code == 0, result.output
    assert result.stdout == "photos-stylized\n"
    written = sorted(str(each.relative_to("photos-stylized")) for each in Path("photos-stylized").rglob("*.png"))
    assert written == ["a.png", "b.png", "more/a.png"]
    assert "left out photos/broken.jpg" in result.stderr
    assert "notes" not in result.stderr
    told = json.loads(run("photos", "-o", "again", "--json").stdout)
    assert told["files"] == ["again/a.png", "again/b.png", "again/more/a.png"]
    assert [each["path"] for each in told["unreadable"]] == ["photos/broken.jpg"]


def test_several_pictures_of_one_name() -> None:
    photographs("cup.png", "other/cup.png")
    result = run("photos/cup.png", "photos/other/cup.png", "coffee", "--size", "32", "-o", "out")
    assert result.exit_code == 0, result.output
    assert sorted(each.name for each in Path("out").iterdir()) == ["coffee.png", "cup-2.png", "cup.png"]


def test_films_and_folders_as_films() -> None:
    photographs("1.png", "10.png", "2.png")
    write_film("film.gif", [cs.read_image("coffee", 40)] * 3)
    result = run("film.gif", "--style", "lines", "--frames", "2", "--preview", "now.png")
    assert result.exit_code == 0, result.output
    assert result.stdout == "film-lines.gif\n"
    assert open_film("film-lines.gif").frames == 2
    assert Path("now.png").exists()
    for name in ("a.png", "b.png", "c.png"):
        write_png(Path("same", name), to_picture(cs.read_image("coffee", 40)))
    result = run("same", "--film", "--steady", "0.5", "--fps", "5", "--size", "32", "-o", "made", "--json")
    assert json.loads(result.stdout) == {"file": "made", "frames": 3}
    assert read_recipe("made/frame-00003.png").parameters["steady"] == 0.5


def test_a_film_that_was_stopped_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    write_film("film.gif", [cs.read_image("coffee", 40)] * 3)
    with monkeypatch.context() as patch:
        patch.setattr(command, "previewed", lambda watcher, path: lambda progress: progress.done < 2)
        result = run("film.gif", "-o", "made.gif", "--preview", "now.png")
        assert isinstance(result.exception, Cancelled)
        assert "goes on with them" in result.output
    assert len(list(Path("made-frames").iterdir())) == 2
    assert run("film.gif", "-o", "made.gif").exit_code == 0
    assert not Path("made-frames").exists()


def test_lists_and_files_of_networks() -> None:
    assert run("--list").stdout == "waves\ndots\nlines\n"
    write_network("mine.safetensors", small_styles("stars"))
    assert json.loads(run("--list", "--network", "mine.safetensors", "--json").stdout) == ["stars"]
    assert run("coffee", "--size", "32", "--network", "mine.safetensors").stdout == "coffee-stars.png\n"
    assert read_recipe("coffee-stars.png").network == "mine.safetensors"


def test_a_file_for_onnx_runtime() -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    result = run("--export", "styles.onnx")
    assert (result.exit_code, result.stdout) == (0, "styles.onnx\n")
    assert onnxruntime.InferenceSession("styles.onnx").get_inputs()[1].shape == [1, 3]


def test_a_full_disk_keeps_what_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    photographs("a.png", "b.png", "c.png")
    saving, saved = cs.Stylized.save, 0

    def filling(self: cs.Stylized, path: Path) -> None:
        nonlocal saved
        saved += 1
        if saved > 2:
            raise ImageError(f"can't write {str(path)!r}: No space left on device")
        saving(self, path)

    monkeypatch.setattr(cs.Stylized, "save", filling)
    result = run("photos", "-o", "out")
    assert isinstance(result.exception, ImageError)
    assert "No space left" in str(result.exception)
    assert sorted(each.name for each in Path("out").iterdir()) == ["a.png", "b.png"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["coffee", "--style", "wave"], "no style 'wave'; nearest: waves"),
        (["coffee", "--style", "waves:much"], "can't understand --style 'waves:much'"),
        (["coffee", "--style", "waves:0"], "and some above"),
        (["coffee", "--colour", "luminence"], "nearest: luminance"),
        (["coffee", "--steady", "0.5"], "--steady means nothing but for one film"),
        (["coffee", "chelsea", "--film"], "--film means nothing but for one film"),
        (["coffee", "--network", "none.safetensors"], "none.safetensors"),
        (["nowhere.jpg"], "nowhere.jpg"),
        (["film.mp4"], "film.mp4"),
        (["empty"], "there is no picture in 'empty'"),
        (["broken"], "there is no picture in 'broken'"),
        (["nowhere.jpg", "neither.jpg"], "none of 2 pictures can be read"),
        (["coffee", "chelsea", "-o", "both.png"], "expected a folder, such as both"),
        (["coffee", "-o", "coffee.jpg", "--size", "32"], ".png"),
        ([], "got no picture"),
    ],
)
def test_bad_input_is_one_clear_error(arguments: list[str], says: str) -> None:
    Path("empty").mkdir()
    Path("broken").mkdir()
    Path("broken/one.png").write_text("none")
    result = run(*arguments)
    assert isinstance(result.exception, ConvscopeError), result.output
    assert says in str(result.exception)
    assert sorted(each.name for each in Path().iterdir()) == ["broken", "empty"]
