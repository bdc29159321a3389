"""Engines of style networks: each as the network itself; the file alone; and what is cached."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.synthesis.fast_style.styles import small_styles
from torch import Tensor

from convscope.errors import MissingExtra, NetworkError
from convscope.network.onnx_engine import is_installed
from convscope.synthesis.fast_style import engine as engines
from convscope.synthesis.fast_style.conditional_norm import Norm
from convscope.synthesis.fast_style.engine import OnnxStyles, TorchStyles, engine_for
from convscope.synthesis.stylize import export_onnx

MIX = torch.tensor([[0.2, 0.5, 0.3]])


def noise(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


def test_a_size_that_it_takes_is_the_networks_own() -> None:
    network, image = small_styles(), noise(2, 3, 20, 32)
    with torch.no_grad():
        expected = network(image, MIX.expand(2, -1))
    assert TorchStyles(network)(image, MIX).equal(expected)


def test_other_sizes_are_what_repeated_borders_would_give() -> None:
    network, image = small_styles(), noise(1, 3, 13, 30)
    rows, columns = torch.arange(16).clamp(max=12), torch.arange(32).clamp(max=29)
    with torch.no_grad():
        expected = network(image[:, :, rows][..., columns], MIX)[:, :, :13, :30]
    assert TorchStyles(network)(image, MIX).equal(expected)


@pytest.mark.parametrize("kernel", [3, 9])
@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_onnx_is_torch(kernel: int, norm: Norm) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    network = small_styles(kernel=kernel, norm=norm, width=5, blocks=2)
    torch_engine, onnx_engine = TorchStyles(network), OnnxStyles(network)
    for size in ((16, 16), (5, 33), (64, 43), (18, 20)):
        for mix in (MIX, torch.eye(3)[1:2]):
            image = noise(2, 3, *size)
            torch.testing.assert_close(onnx_engine(image, mix), torch_engine(image, mix), rtol=0, atol=1e-4)


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40))
def test_every_size_is_kept(rows: int, columns: int) -> None:
    network, image = small_styles(), noise(1, 3, rows, columns)
    for engine in ("torch", "auto"):
        made = engine_for(network, engine)(image, MIX)
        assert made.shape == image.shape
        assert 0 <= float(made.min()) <= float(made.max()) <= 1


def test_the_file_needs_nothing_but_onnx_runtime(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    network, image = small_styles("wäsche", "dots", "lines"), noise(1, 3, 21, 34)
    export_onnx(tmp_path / "styles.onnx", network)
    session = onnxruntime.InferenceSession(tmp_path / "styles.onnx", providers=["CPUExecutionProvider"])
    assert json.loads(session.get_modelmeta().custom_metadata_map["styles"]) == ["wäsche", "dots", "lines"]
    assert [each.name for each in session.get_inputs()] == ["image", "mix"]
    (made,) = session.run(["stylized"], {"image": image.numpy(), "mix": MIX.numpy()})
    torch.testing.assert_close(torch.from_numpy(made), TorchStyles(network)(image, MIX), rtol=0, atol=1e-4)


def test_a_session_is_used_again_until_the_weights_change() -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    network, image = small_styles(), noise(1, 3, 16, 16)
    first = engine_for(network)
    assert isinstance(first, OnnxStyles)
    assert engine_for(network, "onnx") is first
    with torch.no_grad():
        network.up[2].norm.beta.add_(1)  # type: ignore[union-attr, operator]
    second = engine_for(network)
    assert second is not first
    assert not second(image, MIX).allclose(first(image, MIX), atol=0.01)


def test_what_trains_keeps_its_statistics() -> None:
    network = small_styles(norm="batch").train()
    before = {name: each.clone() for name, each in network.state_dict().items()}
    TorchStyles(network)(noise(1, 3, 16, 16), MIX)
    assert all(each.equal(before[name]) for name, each in network.state_dict().items())
    assert network.training


def test_other_float_types_come_back_as_they_were() -> None:
    for engine in ("torch", "auto"):
        assert engine_for(small_styles(), engine)(noise(1, 3, 16, 16).double(), MIX).dtype == torch.float64


def test_engines_that_cant_be_had(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match="unknown engine 'onyx'; nearest: onnx"):
        engine_for(small_styles(), "onyx")  # type: ignore[arg-type]
    double = small_styles().double()
    assert isinstance(engine_for(double), TorchStyles)
    if is_installed():
        with pytest.raises(NetworkError, match="in float32"):
            engine_for(double, "onnx")
    monkeypatch.setattr(engines, "is_installed", lambda: False)
    assert isinstance(engine_for(small_styles()), TorchStyles)
    with pytest.raises(MissingExtra, match="onnx"):
        engine_for(small_styles(), "onnx")


def test_a_result_that_differs_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")

    def other(self: OnnxStyles, *given: Any) -> Tensor:
        return torch.zeros_like(given[0])

    monkeypatch.setattr(OnnxStyles, "__call__", other)
    with pytest.raises(NetworkError, match="another result"):
        engine_for(small_styles(), "onnx")
    with pytest.warns(RuntimeWarning, match="torch runs it"):
        assert isinstance(engine_for(small_styles()), TorchStyles)
