import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from convscope.errors import NetworkError, WeightsError
from convscope.network.network import Network
from convscope.network.zoo import load

CODE = """
import torch
from torch import nn
from convscope.network.network import Network

def build():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))

def ready():
    return Network(build(), input_size=(8, 8), labels=["a", "b"], name="mine")

def failing():
    return 1 / 0

def number():
    return 3

constant = 4
"""


@pytest.fixture(autouse=True)
def _code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A module of the user's in the current folder, forgotten afterwards."""
    (tmp_path / "factory_under_test.py").write_text(CODE)
    (tmp_path / "broken_under_test.py").write_text("import there_is_no_such_package")
    (tmp_path / "raising_under_test.py").write_text("raise ValueError('no data')")
    monkeypatch.chdir(tmp_path)
    yield
    sys.modules.pop("factory_under_test", None)


def test_a_function_in_the_current_folder_is_called() -> None:
    before = list(sys.path)
    net = load("factory_under_test:build", input_size=(8, 8), mean=[0.5] * 3, labels=["a", "b"])
    assert sys.path == before
    assert (net.name, net.input_size, net.labels) == ("factory_under_test:build", (8, 8), ("a", "b"))
    assert net.logits(torch.rand(3, 8, 8)).shape == (2,)


def test_weights_are_loaded_into_what_it_returns(tmp_path: Path) -> None:
    state = load("factory_under_test:build").module.state_dict()
    safetensors.torch.save_file({f"net.{key}": value for key, value in state.items()}, tmp_path / "w.safetensors")
    lines: list[str] = []
    net = load("factory_under_test:build", weights="w.safetensors", on_line=lines.append)
    assert all(torch.equal(net.module.state_dict()[key], value) for key, value in state.items())
    assert lines == ["4 of 4 keys, prefix `net.` removed"]


def test_a_network_is_returned_as_it_is(tmp_path: Path) -> None:
    net = load("factory_under_test:ready")
    assert isinstance(net, Network)
    assert (net.name, net.labels) == ("mine", ("a", "b"))
    with pytest.raises(NetworkError, match="returned a Network; set input_size there"):
        load("factory_under_test:ready", input_size=(4, 4))
    safetensors.torch.save_file(net.module.state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(NetworkError, match=r"return the nn\.Module"):
        load("factory_under_test:ready", weights="w.safetensors")


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    safetensors.torch.save_file(nn.Linear(2, 2).state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match="don't fit Sequential: 0 of 4 keys"):
        load("factory_under_test:build", weights="w.safetensors")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("factory_under_test:biuld", "factory_under_test has no function 'biuld'; nearest: build"),
        ("factory_under_test:constant", "has no function 'constant'"),
        ("factory_under_test:failing", r"failing\(\) raised ZeroDivisionError: division by zero"),
        ("factory_under_test:number", r"number\(\) returned int; expected an nn.Module or a Network"),
        ("nowhere_under_test.models:build", "no module 'nowhere_under_test', neither installed nor in"),
        ("broken_under_test:build", "importing broken_under_test failed: No module named 'there_is_no_such_package'"),
        ("raising_under_test:build", "importing raising_under_test raised ValueError: no data"),
    ],
)
def test_what_failed_is_named(spec: str, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        load(spec)
