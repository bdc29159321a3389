"""Sheets: one method with parameters changed, labelled, stopped in order."""

from typing import Any

import pytest
import torch
from tests.synthesis.networks import small

import convscope as cs
from convscope.errors import Cancelled, ImageError
from convscope.synthesis.parts import PartError


def sheet(**options: Any) -> cs.Sheet:
    return cs.sheet("maximize", small(), **{"target": "class:1", "steps": 3, **options})


def test_each_value_is_the_method_with_it() -> None:
    made = sheet(grid={"steps": [1, 4]})
    for (steps,), result in zip(made.values, made.results, strict=True):
        assert isinstance(result, cs.Maximized)
        assert torch.equal(result.images, cs.maximize(small(), "class:1", steps=int(str(steps))).images)


def test_numbers_of_parts() -> None:
    made = sheet(preset="yosinski", grid={"blur.sigma": [0, 3], "decay.rate": [0.0, 0.5]})
    assert made.values == ((0, 0.0), (0, 0.5), (3, 0.0), (3, 0.5))
    recipes = [result.recipe.parameters["regularizers"] for result in made.results]
    assert recipes[3] == ["decay:rate=0.5,every=1", "blur:sigma=3.0,every=4"]


def test_the_picture_grows_with_the_grid() -> None:
    one, two = sheet(grid={"steps": [1, 2, 3]}), sheet(grid={"steps": [1, 2, 3], "seed": [0, 1]})
    assert two.picture().height > one.picture().height > 24


def test_progress_is_of_the_whole_and_stopping_keeps_what_is_done() -> None:
    seen: list[cs.Progress] = []

    def watch(progress: cs.Progress) -> bool:
        seen.append(progress)
        return progress.done < 5

    with pytest.raises(Cancelled) as stopped:
        sheet(grid={"seed": [0, 1, 2]}, progress=watch)
    assert [(each.done, each.total) for each in seen] == [(done, 9) for done in range(1, 6)]
    assert isinstance(stopped.value.so_far, cs.Sheet)
    assert len(stopped.value.so_far.results) == 1


@pytest.mark.parametrize(
    ("method", "grid", "error", "says"),
    [
        ("maximise", {"steps": [1]}, ImageError, "nearest: maximize"),
        ("maximize", {}, ImageError, "expected one or two parameters"),
        ("maximize", {"steps": []}, ImageError, "expected one or two parameters"),
        ("maximize", {"a": [1], "b": [1], "c": [1]}, ImageError, "expected one or two parameters"),
        ("maximize", {"blurr.sigma": [1]}, PartError, "no part 'blurr'"),
        ("maximize", {"stepz": [1]}, ImageError, "has no parameter 'stepz'; nearest: steps"),
    ],
)
def test_bad_grids(method: str, grid: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        cs.sheet(method, small(), target="class:1", grid=grid)
