"""`convscope segment`: an outline, a mask and a cut-out, at the photograph's size or the network's."""

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convscope.cli import main
from convscope.image.write import read_recipe
from convscope.network import zoo
from convscope.network.zoo import load

load_once = functools.cache(load)
Run = Callable[..., tuple[str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(zoo, "load", load_once)

    def command(*arguments: str) -> tuple[str, str]:
        monkeypatch.setattr(sys, "argv", ["convscope", "segment", *arguments])
        with pytest.raises(SystemExit, match=r"^0$"):
            main()
        out, err = capsys.readouterr()
        return out, err

    return command


def opened(path: str) -> Image.Image:
    with Image.open(path) as picture:
        picture.load()
        return picture


def test_three_pictures_of_the_photographs_size(run: Run) -> None:
    out, said = run("chelsea")
    outline, mask, cutout = (opened(line) for line in out.splitlines())
    assert outline.size == mask.size == cutout.size == (451, 300)
    assert (mask.mode, cutout.mode) == ("L", "RGBA")
    assert np.array_equal(np.asarray(cutout)[..., 3], np.asarray(mask))
    assert "target: tiger cat" in said
    assert "box: top " in said
    recipe = read_recipe(out.splitlines()[0])
    assert (recipe.method, recipe.parameters["of"]["method"]) == ("segment", "grad_cam")  # type: ignore[index,call-overload]


def test_a_true_mask_is_compared_with(run: Run) -> None:
    out, _ = run("chelsea", "--target", "tabby", "--out", "cat.png")
    assert out.splitlines() == ["cat.png", "cat-mask.png", "cat-cutout.png"]
    out, _ = run("chelsea", "--target", "tabby", "--out", "cat.png", "--mask", "cat-mask.png", "--json")
    told = json.loads(out)
    assert told["iou"] == 1.0
    assert set(told["box"]) == {"top", "left", "bottom", "right"}
    assert told["cutout"] == "cat-cutout.png"
    _, said = run("chelsea", "--target", "tabby", "-m", "saliency", "--out", "other.png", "--mask", "cat-mask.png")
    assert "intersection over union with cat-mask.png: 0." in said


def test_the_image_as_the_network_is_given_it(run: Run) -> None:
    out, _ = run("chelsea", "--prepared", "--out", "small.png")
    assert {opened(line).size for line in out.splitlines()} == {(224, 224)}
