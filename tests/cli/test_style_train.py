"""`convscope style-train`: networks trained from the command line."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import convscope as cs
from convscope.cli.app import app
from convscope.synthesis.fast_style.files import read_network

SMALL = [
    "-p", "photographs.txt", "-n", "efficientnet-lite0", "--width", "4", "--blocks", "1", "--kernel", "3",
    "--size", "64", "--batch", "2", "--steps", "2",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("photographs.txt").write_text("coffee\nchelsea\n")


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["style-train", *arguments], catch_exceptions=True)


def test_a_network_with_two_styles_and_then_a_third() -> None:
    result = run("brick", "red=ihc", *SMALL, "--curves", "curves.png", "--preview", "preview.png")
    assert result.exit_code == 0, result.output
    assert result.stdout.split() == ["brick-red.safetensors"]
    assert "content error" in result.stderr
    network, told, _ = read_network("brick-red.safetensors")
    assert network.styles == ("brick", "red")
    assert (told["steps"], told["size"], told["photographs"]) == (2, 64, 2)
    assert [each["name"] for each in told["images"]] == ["brick", "ihc"]
    assert cs.read_image("curves.png").shape[0] == 3
    assert cs.read_image("preview.png").shape[0] == 3
    own = ["-p", "photographs.txt", "-n", "efficientnet-lite0", "--size", "64", "--batch", "1", "--steps", "1"]
    more = run("gravel", "--add-to", "brick-red.safetensors", *own, "--out", "three.safetensors", "--json")
    assert more.exit_code == 0, more.output
    assert json.loads(more.stdout)["styles"] == ["brick", "red", "gravel"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["brick", "brick", *SMALL], "two styles named 'brick'"),
        (["nowhere.jpg", *SMALL], "nowhere.jpg"),
        (["brick", *SMALL, "-p", "nothing"], "nothing"),
        (["brick", *SMALL, "--out", "brick.png"], r"name it .safetensors"),
        (["brick", *SMALL, "--add-to", "photographs.txt"], "photographs.txt"),
    ],
)
def test_bad_input_is_told(arguments: list[str], said: str) -> None:
    result = run(*arguments)
    assert result.exit_code != 0
    assert said in str(result.exception)
    assert [path.name for path in Path().iterdir()] == ["photographs.txt"]
