"""`convscope neighbours`, `mistakes` and `units` on a small scan."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import convscope as cs
from convscope.cli.app import app
from convscope.errors import ConvscopeError
from convscope.image.bundled import photograph
from convscope.image.write import read_recipe
from convscope.scanning.scan import scan

CLASSES = {"chelsea": "tabby", "coffee": "espresso", "rocket": "missile"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, lite0: cs.Network) -> Path:
    folder = tmp_path_factory.mktemp("labelled")
    for name, class_ in CLASSES.items():
        (folder / "photographs" / class_).mkdir(parents=True)
        file = photograph(name)
        (folder / "photographs" / class_ / file.name).write_bytes(file.read_bytes())
    out = folder / "small.scan"
    scan(lite0, folder / "photographs", layers=["head.activation", "pool"], out=out, engine="torch", workers=0)
    return out


def run(*arguments: object) -> str:
    ran = CliRunner().invoke(app, [str(each) for each in arguments])
    assert ran.exit_code == 0, ran.output
    return ran.stdout


def test_neighbours_of_a_file_a_bundled_photograph_and_an_id(made: Path, tmp_path: Path) -> None:
    file = made.parent / "photographs" / "tabby" / "chelsea.png"
    lines = run("neighbours", made, file, "astronaut", 0, "-k", 2, "--json", "--out", tmp_path / "out").splitlines()
    first, second, third = map(json.loads, lines)
    assert first["left_out"] == ["tabby/chelsea.png"]
    assert (len(first["neighbours"]), len(second["by_pixels"]), third["layer"]) == (2, 2, "pool")
    assert sorted(each.name for each in (tmp_path / "out").iterdir()) == [
        "0-neighbours.png", "astronaut-neighbours.png", "chelsea-neighbours.png",
    ]  # fmt: skip
    text = run("neighbours", made, "astronaut", "--no-pixels", "--metric", "l2", "--layer", "head.activation")
    assert "by the codes of head.activation, l2" in text
    run("neighbours", made, "astronaut", "--out", tmp_path / "one.png")
    assert read_recipe(tmp_path / "one.png").method == "neighbours"


def test_mistakes_as_text_json_and_picture(made: Path, tmp_path: Path) -> None:
    whole = json.loads(run("mistakes", made, "--json", "--out", tmp_path / "out.png"))
    assert whole["images"] == 3
    assert whole["wrong"] == len(whole["mistakes"])
    assert read_recipe(tmp_path / "out.png").method == "mistakes"
    assert "right of 3" in run("mistakes", made)


def test_units_sorted_and_drawn(made: Path, tmp_path: Path) -> None:
    text = run("units", made, "pool", "--sort", "mean", "--limit", 3, "--out", tmp_path / "out.png", "-c", 4)
    means = [float(line.split()[1]) for line in text.splitlines()[1:4]]
    assert means == sorted(means, reverse=True)
    assert read_recipe(tmp_path / "out.png").picture["channels"] == [4]
    assert len(json.loads(run("units", made, "pool", "--json"))["channels"]) == 1280


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["units", "{}", "pool", "--sort", "means"], "nearest: mean"),
        (["units", "{}", "pol"], "nearest: pool"),
        (["neighbours", "{}", "chelsea", "--metric", "dot"], "unknown metric 'dot'"),
        (["neighbours", "nowhere.scan", "chelsea"], "nowhere.scan"),
        (["mistakes", "nowhere.scan"], "nowhere.scan"),
    ],
)
def test_bad_input_is_one_clear_error(made: Path, arguments: list[str], message: str) -> None:
    ran = CliRunner().invoke(app, [each.format(made) for each in arguments])
    assert isinstance(ran.exception, ConvscopeError)
    assert message in str(ran.exception)
