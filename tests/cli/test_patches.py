"""`convscope patches`: a layer, some channels, a plate, a page."""

import json
from pathlib import Path

import pytest
from tests.patches_scan import pieces_scan
from typer.testing import CliRunner, Result

from convscope.cli import patches as command
from convscope.cli.app import app
from convscope.errors import ConvscopeError, LayerError
from convscope.image.write import read_recipe
from convscope.scanning.stored import Scan


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> Scan:
    return pieces_scan(tmp_path_factory.mktemp("pieces"))


@pytest.fixture
def ran(pieces: Scan, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> "Runner":
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("convscope.scanning.stored.open_scan", lambda path, network: pieces)
    return Runner()


class Runner:
    def __call__(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, ["patches", "little.scan", *arguments])


def test_a_layer_is_drawn_and_the_file_named(ran: Runner) -> None:
    result = ran("1", "--limit", "2", "--projections", "guided,gradient")
    assert result.exit_code == 0, result.output
    assert result.stdout == "little-1.png\n"
    recipe = read_recipe("little-1.png")
    assert recipe.parameters["projections"] == ["guided", "gradient"]
    assert len(recipe.parameters["channel"]) == 2  # type: ignore[arg-type]


def test_json_holds_the_channels_asked_for_and_writes_nothing(ran: Runner) -> None:
    whole = json.loads(ran("1:3,0", "--json").stdout)
    assert (whole["layer"], [each["channel"] for each in whole["channels"]]) == ("1", [3, 0])
    assert len(whole["channels"][0]["patches"][0]["box"]) == 4
    assert not list(Path().glob("*.png"))


def test_without_a_layer_it_is_a_plate(ran: Runner) -> None:
    assert ran("--limit", "2").stdout == "little-layers.png\n"
    assert read_recipe("little-layers.png").parameters["layers"] == ["0", "1", "2"]
    result = ran("--layers", "1, 2", "--order", "strongest", "-o", "some.png", "--json")
    assert [each["layer"] for each in json.loads(result.stdout)] == ["1", "2"]
    assert read_recipe("some.png").parameters["order"] == "strongest"


def test_a_name_that_ends_in_html_makes_a_page_of_all_channels(ran: Runner) -> None:
    assert ran("2", "-o", "all.html").stdout == "all.html\n"
    assert Path("all.html").read_text(encoding="utf-8").count("<figure") == 5


def test_what_cannot_be_is_an_error(ran: Runner) -> None:
    expected: dict[tuple[str, ...], tuple[type[ConvscopeError], str]] = {
        ("1", "--layers", "2"): (ConvscopeError, "one or the other"),
        ("-o", "x.html"): (ConvscopeError, "expected a PNG"),
        ("1:one",): (ConvscopeError, "channels by number"),
        ("1:9",): (LayerError, "channels 0 to 3"),
        ("7",): (LayerError, "was not scanned"),
    }
    for arguments, (kind, said) in expected.items():
        error = ran(*arguments).exception
        assert isinstance(error, kind)
        assert said in str(error)


def test_the_network_can_be_named(pieces: Scan, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[object] = []

    def opened(path: Path, network: object) -> Scan:
        given.append(network)
        return pieces

    monkeypatch.setattr(command, "load_network", lambda *named: named)
    monkeypatch.setattr("convscope.scanning.stored.open_scan", opened)
    Runner()("1:0", "--json", "--network", "mine.toml")
    assert given == [("mine.toml", None, None, "cpu")]
