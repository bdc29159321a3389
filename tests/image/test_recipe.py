import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convscope.errors import RecipeError
from convscope.image.recipe import JSON, Input, Recipe

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=8,
)
inputs = st.builds(
    Input,
    name=st.none() | st.sampled_from(["dog.jpg", "ein Bär.png", "chelsea", "12:30.png"]),
    sha256=st.text("0123456789abcdef", min_size=64, max_size=64),
    size=st.none() | st.integers(1, 4000),
    prepared=st.booleans(),
    channels=st.integers(1, 20),
    page=st.integers(0, 500),
    window=st.none() | st.tuples(st.floats(-1e6, -1), st.floats(0, 1e6)),
)
recipes = st.builds(
    Recipe,
    method=st.text(min_size=1),
    parameters=st.dictionaries(st.text(), plain, max_size=4),
    network=st.none() | st.text(),
    weights=st.none() | st.text(),
    inputs=st.lists(inputs, max_size=3).map(tuple),
    engine=st.text(),
    device=st.text(),
    threads=st.integers(1, 64),
    batch=st.none() | st.integers(1, 512),
    seed=st.none() | st.integers(0, 2**63 - 1),
    version=st.text(),
    picture=st.dictionaries(st.text(), plain, max_size=3),
)


def example(**parameters: JSON) -> Recipe:
    return Recipe(method="saliency", parameters=parameters, network="n", weights=None, threads=2, version="0.1.0")


@given(recipes)
@settings(max_examples=60, deadline=None)
def test_round_trip(recipe: Recipe) -> None:
    text = recipe.to_json()
    assert text.isascii()
    assert "\n" not in text
    again = Recipe.from_json(text)
    assert again == recipe
    assert again.to_json() == text


def test_json_does_not_depend_on_the_order_of_parameters() -> None:
    assert example(a=1, b=2).to_json() == example(b=2, a=1).to_json()


def test_json_holds_every_field_by_its_name() -> None:
    recipe = replace(example(rule="guided"), inputs=(Input("dog.jpg", "ab", 512, True),))
    assert json.loads(recipe.to_json()) == {
        "method": "saliency",
        "parameters": {"rule": "guided"},
        "network": "n",
        "weights": None,
        "feeding": {},
        "inputs": [
            {"name": "dog.jpg", "sha256": "ab", "size": 512, "prepared": True, "channels": 3, "page": 0, "window": None}
        ],
        "engine": "torch",
        "device": "cpu",
        "threads": 2,
        "batch": None,
        "seed": None,
        "version": "0.1.0",
        "picture": {},
    }


def test_recipes_of_before_channels_pages_and_windows_are_read() -> None:
    text = example().to_json().replace('"inputs":[]', '"inputs":[{"name":"dog.jpg","sha256":"ab","size":512}]')
    assert Recipe.from_json(text).inputs == (Input("dog.jpg", "ab", 512, channels=3, page=0, window=None),)


def test_a_window_is_a_pair_of_floats_again() -> None:
    recipe = replace(example(), inputs=(Input("scan.dcm", "ab", channels=1, page=7, window=(-160, 240)),))
    [given_again] = Recipe.from_json(recipe.to_json()).inputs
    assert given_again == recipe.inputs[0]
    assert repr(given_again.window) == "(-160.0, 240.0)"


@pytest.mark.parametrize("window", [(1, 1), (2, 1), (0, math.inf), (math.nan, 1), (1,), [1, 2, 3], "12", 5, ("0", "1")])
def test_what_is_no_window(window: Any) -> None:
    with pytest.raises(RecipeError, match="window of an input must be two numbers, the smaller first, got"):
        Input("dog.jpg", "ab", window=window)


@pytest.mark.parametrize("fields", [{"channels": 2.5}, {"page": "1"}])
def test_the_numbers_of_an_input_are_whole(fields: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match="of a recipe must be int"):
        Input("dog.jpg", "ab", **fields)


def test_parameters_become_plain() -> None:
    recipe = example(size=(3, 4), epsilon=np.float32(0.5), steps=np.int64(7))  # type: ignore[arg-type]
    assert recipe.parameters == {"size": [3, 4], "epsilon": 0.5, "steps": 7}
    assert type(recipe.parameters["steps"]) is int


def test_a_recipe_does_not_follow_later_changes() -> None:
    layers: list[JSON] = ["a"]
    recipe = example(layers=layers)
    layers.append("b")
    assert recipe.parameters == {"layers": ["a"]}


@pytest.mark.parametrize("value", [math.nan, math.inf, Path("x"), {1: 2}, {"deep": [object()]}, b"bytes"])
def test_what_json_cannot_hold_is_refused_by_name(value: object) -> None:
    with pytest.raises(RecipeError, match=r"parameters\.wrong"):
        example(wrong=value)  # type: ignore[arg-type]


def test_with_picture_replaces_the_options_of_save() -> None:
    recipe = example().with_picture(scale=2).with_picture(legend=True)
    assert recipe.picture == {"legend": True}
    assert replace(recipe, picture={}) == example()


@pytest.mark.parametrize("name", ["/etc/passwd", "../dog.jpg", "..", "a\\b.png", "C:dog.jpg", "", "."])
def test_names_with_folders_are_refused(name: str) -> None:
    with pytest.raises(RecipeError, match="without its folder"):
        Input(name, "ab")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 100_000, "damaged"),
        ("[]", "expected a JSON object"),
        ("{}", "lacks method, network, parameters, threads, version, weights"),
        (example().to_json().replace('"threads"', '"thraeds"'), "doesn't know: thraeds"),
        (example().to_json().replace('"threads":2', '"threads":"two"'), "threads of a recipe must be int, got 'two'"),
        (example().to_json().replace('"seed":null', '"seed":NaN'), "NaN is not a number"),
        (example(x=1).to_json().replace('"x":1', '"x":1e999'), r"parameters\.x of a recipe is inf"),
        (example().to_json().replace('"inputs":[]', '"inputs":7'), "must be a list, got 7"),
        (example().to_json().replace('"inputs":[]', '"inputs":[7]'), "the input is damaged"),
        (example().to_json().replace('"inputs":[]', '"inputs":[{"name":null}]'), "the input lacks sha256"),
        (example().to_json().replace('"inputs":[]', '"inputs":[{"name":"../x","sha256":""}]'), "without its folder"),
        (example().to_json().replace('"parameters":{}', '"parameters":[]'), "parameters of a recipe must be"),
    ],
)
def test_nonsense_is_refused(text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Recipe.from_json(text)


def test_recipes_and_writing_do_not_import_torch() -> None:
    code = (
        "import sys, convscope.image.recipe, convscope.image.bundled, convscope.image.write, convscope.image.check;"
        "convscope.image.bundled.photograph('china');"
        "sys.exit(str(sorted({'torch', 'skimage', 'sklearn', 'numpy'} & set(sys.modules))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "[]"
