"""The package as a stranger meets it: its public names, their documentation, its version."""

import inspect
import pkgutil
import re
from importlib import import_module
from importlib.metadata import entry_points, requires, version
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

import convscope as cs
import convscope.errors

PUBLIC = [name for name in cs.__all__ if not name.startswith("_")]


@pytest.mark.parametrize("name", cs.__all__)
def test_every_public_name_is_there(name: str) -> None:
    value = getattr(cs, name)
    assert value is not None
    assert getattr(value, "__name__", name) == name


def test_names_are_listed_once_and_in_order() -> None:
    assert sorted(set(cs.__all__)) == cs.__all__
    assert dir(cs) == cs.__all__
    assert {"load", "read_image", "saliency", "Network", "redo"} <= set(PUBLIC)


@pytest.mark.parametrize("name", ["salience", "torch", "_HOME", "attribution.saliency"])
def test_other_names_are_not(name: str) -> None:
    with pytest.raises(AttributeError, match=f"'convscope' has no attribute '{re.escape(name)}'"):
        getattr(cs, name)
    assert not hasattr(cs, name)


def test_the_version_is_the_one_installed() -> None:
    assert cs.__version__ == version("convscope")
    assert re.fullmatch(r"\d+\.\d+\.\d+", cs.__version__)


def test_the_program_is_installed() -> None:
    (program,) = entry_points(group="console_scripts", name="convscope")
    assert callable(program.load())


def test_typed_and_not_tied_to_what_is_optional() -> None:
    assert files("convscope").joinpath("py.typed").is_file()
    needed = [line for line in requires("convscope") or [] if "extra ==" not in line]
    assert not [line for line in needed if re.match("torchvision|timm|scikit|h5py|captum", line)]


# --- Documentation ---


def public_callables() -> dict[str, Any]:
    """Public functions and classes, and the public methods and properties that these define."""
    found: dict[str, Any] = {}
    for name in PUBLIC:
        value = getattr(cs, name)
        found[name] = value
        if inspect.isclass(value) and not issubclass(value, Exception):
            for attribute, member in vars(value).items():
                if not attribute.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)):
                    found[f"{name}.{attribute}"] = member
    return found


@pytest.mark.parametrize("name", public_callables())
def test_what_is_public_says_what_it_is(name: str) -> None:
    text = public_callables()[name].__doc__
    assert text
    first = text.strip().partition("\n")[0]
    assert first.endswith((".", ":")), first
    assert not first.startswith(f"{name}(")  # what a dataclass says of itself where nobody does


def functions() -> list[str]:
    return [name for name in PUBLIC if inspect.isfunction(getattr(cs, name))]


@pytest.mark.parametrize("name", functions())
def test_options_of_public_functions_are_keyword_only_and_typed(name: str) -> None:
    signature = inspect.signature(getattr(cs, name))
    assert signature.return_annotation is not inspect.Signature.empty
    for parameter in signature.parameters.values():
        assert parameter.annotation is not inspect.Parameter.empty
        if isinstance(parameter.default, bool):
            assert parameter.kind is inspect.Parameter.KEYWORD_ONLY, parameter


def test_every_error_is_a_convscope_error() -> None:
    classes = [value for value in vars(convscope.errors).values() if inspect.isclass(value)]
    errors = [value for value in classes if value.__module__ == "convscope.errors"]
    assert len(errors) > 5
    for error in errors:
        assert issubclass(error, cs.ConvscopeError)
        assert getattr(cs, error.__name__) is error


def test_every_module_says_what_it_is_for() -> None:
    walked = pkgutil.walk_packages(cs.__path__, "convscope.")
    for module in (import_module(each.name) for each in walked if each.name != "convscope.__main__"):
        assert module.__doc__ or not Path(str(module.__file__)).read_text(encoding="utf-8"), module.__name__
