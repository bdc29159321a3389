"""Parts by text: read, written, and refused in words."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convscope.errors import ConvscopeError
from convscope.synthesis.maximize import PRESETS
from convscope.synthesis.optimizers import OPTIMIZERS, SCHEDULES
from convscope.synthesis.optimizers.adam import Adam
from convscope.synthesis.parameterizations import PARAMETERIZATIONS
from convscope.synthesis.parts import PartError, part, parts, text_of
from convscope.synthesis.regularizers import REGULARIZERS
from convscope.synthesis.regularizers.blur import Blur
from convscope.synthesis.settings import chosen, with_part
from convscope.synthesis.transforms import TRANSFORMS

TABLES: list[Mapping[str, type[Any]]] = [OPTIMIZERS, SCHEDULES, PARAMETERIZATIONS, REGULARIZERS, TRANSFORMS]


@pytest.mark.parametrize("kinds", TABLES)
def test_every_part_is_what_its_text_says(kinds: Mapping[str, type[Any]]) -> None:
    for name, kind in kinds.items():
        assert part(name, kinds, "part") == kind()
        assert part(text_of(kind(), kinds), kinds, "part") == kind()


@given(st.floats(0, 10), st.integers(1, 20))
def test_numbers_survive(sigma: float, every: int) -> None:
    blur = Blur(sigma, every)
    assert part(text_of(blur, REGULARIZERS), REGULARIZERS, "regularizer") == blur


def test_by_place_and_by_name() -> None:
    assert part(" blur:2 ", REGULARIZERS, "regularizer") == Blur(sigma=2.0)
    assert part("blur:2, every=3", REGULARIZERS, "regularizer") == Blur(2.0, 3)
    assert parts("none", REGULARIZERS, "regularizer") == parts("", REGULARIZERS, "regularizer") == ()
    assert parts(["blur:1", Blur(2)], REGULARIZERS, "regularizer") == (Blur(1.0), Blur(2))


def test_functions_stay_themselves() -> None:
    def mine(images: Any) -> Any:
        return images

    assert part(mine, REGULARIZERS, "regularizer") is mine
    assert text_of(mine, REGULARIZERS).startswith("<function")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("blurr", "nearest: blur"),
        ("blur:1,2,3", "more values than there are: sigma, every"),
        ("blur:sigm=1", "nearest: sigma"),
        ("blur:much", "'much' is no number"),
        ("blur:1,every=1.5", "no whole number"),
    ],
)
def test_what_is_not_understood_is_said(text: str, says: str) -> None:
    with pytest.raises(PartError, match=says):
        part(text, REGULARIZERS, "regularizer")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("blur:-1", "got sigma=-1.0 for Blur, expected 0 to 1000"),
        ("blur:1,every=0", "got every=0 for Blur, expected 1 or more"),
        ("clip-norm:1.5", "expected 0 to 1"),
        ("tv:nan", "got weight=nan"),
        ("decay:inf", "got rate=inf"),
    ],
)
def test_numbers_have_bounds(text: str, says: str) -> None:
    with pytest.raises(PartError, match=says):
        part(text, REGULARIZERS, "regularizer")


def test_bounds_of_other_parts() -> None:
    for text, kinds in (
        ("adam:1e38", OPTIMIZERS), ("lbfgs:1,history=0", OPTIMIZERS), ("linear:2", SCHEDULES),
        ("scale:1.1,0.9", TRANSFORMS), ("crop:0,0.5", TRANSFORMS), ("jitter:-3", TRANSFORMS),
        ("pyramid:0", PARAMETERIZATIONS),
    ):  # fmt: skip
        with pytest.raises(PartError, match="expected"):
            part(text, kinds, "part")


def test_what_is_neither_part_nor_function() -> None:
    with pytest.raises(PartError, match="got int for a regularizer"):
        part(3, REGULARIZERS, "regularizer")


@pytest.mark.parametrize("preset", PRESETS)
def test_settings_make_themselves_again(preset: str) -> None:
    settings = chosen(PRESETS, preset, {})
    assert chosen(PRESETS, "lucid", settings.parameters()) == settings


@pytest.mark.parametrize("given", [{"steps": 0}, {"views": 0}, {"steps": 1.5}])
def test_settings_need_steps(given: dict[str, Any]) -> None:
    with pytest.raises(ConvscopeError, match="at least 1"):
        chosen(PRESETS, "lucid", given)


def test_unknown_preset() -> None:
    with pytest.raises(ConvscopeError, match="no preset 'lucit'; nearest: lucid"):
        chosen(PRESETS, "lucit", {})


def test_one_number_of_one_part() -> None:
    changed = with_part(PRESETS, {"preset": "yosinski"}, "blur", "sigma", 3)
    settings = chosen(PRESETS, "yosinski", {key: value for key, value in changed.items() if key != "preset"})
    assert dataclasses.asdict(settings.regularizers[1]) == {"sigma": 3.0, "every": 4}  # type: ignore[call-overload]
    added = with_part(PRESETS, {}, "tv", "weight", 2)
    assert added["regularizers"] == ["tv:weight=2"]
    other = with_part(PRESETS, {}, "adam", "rate", 0.1)["optimizer"]
    assert part(other, OPTIMIZERS, "optimizer") == Adam(0.1)
    with pytest.raises(PartError, match="no part 'blurr'"):
        with_part(PRESETS, {}, "blurr", "sigma", 3)
