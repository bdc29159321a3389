import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from convscope.cli.app import app
from convscope.errors import NetworkError
from convscope.network.zoo import available, load

CODE = """
from torch import nn

def build(classes=2, channels=3):
    pooled = nn.AdaptiveAvgPool2d(1), nn.Flatten()
    return nn.Sequential(nn.Conv2d(channels, 4, 3), nn.ReLU(), *pooled, nn.Linear(4, classes))
"""


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models_for_new.py").write_text(CODE)
    (tmp_path / "names.txt").write_text("cat\ndog\nowl\n")
    monkeypatch.chdir(tmp_path)


def run(*arguments: str, typed: str | None = None) -> str:
    result = CliRunner().invoke(app, ["networks", *arguments], input=typed)
    if isinstance(result.exception, NetworkError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_every_network_is_listed() -> None:
    output = run()
    assert all(entry.name in output for entry in available())
    assert [entry["name"] for entry in json.loads(run("--json"))] == [entry.name for entry in available()]


def test_flags_write_a_file_that_loads() -> None:
    output = run(
        "--new", "--factory", "models_for_new:build", "--factory-options", "classes=3, channels=1", "--channels", "1",
        "--input-size", "16x24", "--mean", "0.5", "--std", "0.25", "--value-range", "-1,1", "--labels", "names.txt",
        "--head", "sigmoid", "--fit", "pad",
    )  # fmt: skip
    assert "It loads: Network('net.toml', Sequential, input 1×16×24), 3 classes" in output
    net = load("net.toml")
    assert (net.input_size, net.labels, net.head, net.fit) == ((16, 24), ("cat", "dog", "owl"), "sigmoid", "pad")


def test_paths_are_kept_relative_to_the_file(tmp_path: Path) -> None:
    run("--new", "nets/owl.toml", "--factory", "models_for_new:build", "--labels", "names.txt")
    assert 'labels = "../names.txt"' in (tmp_path / "nets" / "owl.toml").read_text()


def test_questions_are_asked_at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convscope.cli.networks.at_terminal", lambda: True)
    answers = [
        "models_for_new:build",
        "classes=2",
        "",
        "three",
        "3",
        "32",
        "imagenet",
        "",
        "cat, dog",
        "sofmax",
        "softmax",
    ]
    output = run("--new", typed="\n".join(answers) + "\n")
    assert "channels = 'three'; expected a whole number" in output
    assert "nearest: softmax" in output
    net = load("net.toml")
    assert (net.input_size, net.labels) == ((32, 32), ("cat", "dog"))
    assert net.normalize is not None


def test_without_answers_there_is_a_file_to_fill_in(tmp_path: Path) -> None:
    assert "Set factory or network in it" in run("--new")
    assert '# factory = "models:build"' in (tmp_path / "net.toml").read_text()


def test_a_wrong_answer_is_said_after_writing(tmp_path: Path) -> None:
    output = run("--new", "--factory", "models_for_new:biuld")
    assert "It doesn't load yet: net.toml, line" in output
    assert "nearest: build" in output
    assert (tmp_path / "net.toml").exists()


def test_what_is_there_is_kept(tmp_path: Path) -> None:
    (tmp_path / "net.toml").write_text("mine")
    with pytest.raises(NetworkError, match=r"net.toml is there already; .*--force"):
        run("--new", "--factory", "models_for_new:build")
    assert (tmp_path / "net.toml").read_text() == "mine"
    run("--new", "--force", "--factory", "models_for_new:build")
    assert load("net.toml").classes == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--new", "net.txt"], "expected a name ending in .toml"),
        (["--new", "--head", "sofmax"], "head = 'sofmax'; expected one of .*nearest: softmax"),
        (["--new", "--mean", "a,b"], "mean = .*expected a list of numbers"),
    ],
)
def test_a_wrong_flag_writes_nothing(tmp_path: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        run(*arguments)
    assert not list(tmp_path.glob("net.*"))


def test_options_without_new_are_an_error() -> None:
    result = CliRunner().invoke(app, ["networks", "net.toml"])
    assert result.exit_code == 2
    assert "--new" in result.output
