"""`convscope attack`: files, what is said of them, several pictures, bad input."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import convscope as cs
from convscope.cli.app import app
from convscope.errors import ConvscopeError
from convscope.image.bundled import photograph
from convscope.image.write import read_recipe


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["attack", *arguments], catch_exceptions=True)


@pytest.mark.slow
def test_a_picture_and_a_figure(lite0: cs.Network) -> None:
    result = run("rocket", "--target", "ostrich", "--epsilon", "2/255", "--steps", "8")
    assert result.exit_code == 0, result.output
    assert result.stdout.split() == ["rocket-ostrich-pgd.png", "rocket-ostrich-pgd-figure.png"]
    answer = lite0.predict(lite0.read("rocket-ostrich-pgd.png"), top=1)[0]
    assert f"missile 24.7% -> {answer.label} {answer.probability:.1%}" in result.stderr
    recipe = read_recipe("rocket-ostrich-pgd.png")
    assert recipe.parameters["epsilon"] == 2 / 255
    assert recipe.parameters["target"] == "ostrich"
    cs.redo("rocket-ostrich-pgd-figure.png", "again.png")
    assert Path("again.png").read_bytes() == Path("rocket-ostrich-pgd-figure.png").read_bytes()


@pytest.mark.slow
def test_several_for_another_program() -> None:
    Path("photos").mkdir()
    for name in ("chelsea", "rocket"):
        shutil.copy(photograph(name), "photos")
    result = run("photos", "-m", "fgsm", "--json", "--no-figure", "-o", "out/fooled.png")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["figure"] is None
    assert [each["file"] for each in told["images"]] == ["out/fooled-0.png", "out/fooled-1.png"]
    assert all(each["gradients"] == 1 and each["linf"] <= 2 / 255 + 1e-6 for each in told["images"])
    assert told["images"][0]["before"][0]["label"] == "tiger cat"
    assert all(Path(each["file"]).exists() for each in told["images"])


@pytest.mark.slow
def test_a_patch() -> None:
    result = run("chelsea", "-m", "adversarial-patch", "-t", "toaster", "--steps", "1", "--json", "-o", "patch.png")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {"file": "patch.png", "figure": "patch-figure.png", "rate": 0.0}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["chelsea", "-m", "pdg"], "no attack 'pdg'; nearest: pgd"),
        (["chelsea", "-m", "deepfool"], "nearest: deep-fool"),
        (["chelsea", "-m", "fgsm", "--steps", "3"], "fgsm takes no --steps"),
        (["chelsea", "-m", "deep-fool", "--epsilon", "2/255"], "deep-fool takes no --epsilon"),
        (["chelsea", "--epsilon", "two"], "can't understand --epsilon 'two'"),
        (["chelsea", "--epsilon", "1/0"], "can't understand --epsilon '1/0'"),
        (["chelsea", "--epsilon", "-2/255"], "expected 0 or more"),
        (["chelsea", "-m", "targeted-gradient"], "give --target LABEL"),
        (["chelsea", "-t", "ostritch"], "nearest: ostrich"),
        (["chelsea", "-t", "tiger cat"], "already"),
        (["nowhere.png"], "nowhere.png"),
        (["chelsea", "-o", "cat.jpg"], "name it .png"),
    ],
)
def test_bad_input_is_one_clear_error(arguments: list[str], says: str) -> None:
    result = run(*arguments)
    assert isinstance(result.exception, ConvscopeError)
    assert says in str(result.exception)
    assert not list(Path().iterdir())
