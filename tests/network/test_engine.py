"""Engines: that each gives what the network gives, and which is taken."""

import importlib.util
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import convscope as cs
from convscope.errors import MissingExtra, NetworkError
from convscope.network import engine as engines
from convscope.network import onnx_engine
from convscope.network.engine import Part, TorchEngine, affordable, engine_for, lean
from convscope.network.graph import Graph

HAS_ONNX = all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime", "onnxscript"))


def module() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Conv2d(6, 4, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5),
    ).eval()  # fmt: skip


def graph_of(network: nn.Module, dtype: torch.dtype = torch.float32) -> Graph:
    traced = cs.Network(network.to(dtype), input_size=16).graph((3, 16, 16))
    assert traced is not None
    return lean(traced, torch.zeros(1, 3, 16, 16, dtype=dtype))


@pytest.fixture
def part() -> Part:
    return Part(graph_of(module()))


def image(count: int = 1) -> Tensor:
    return torch.rand(count, 3, 16, 16)


# --- Torch ---


def test_torch_gives_what_the_network_gives() -> None:
    plain, batch = module().double(), image(3).double()
    part = Part(graph_of(plain, torch.float64), keep=("0", "4"))
    engine = TorchEngine(part)
    output, kept = engine(batch)
    with torch.no_grad():
        torch.testing.assert_close(output, plain(batch), rtol=0, atol=1e-12)
        torch.testing.assert_close(kept["4"], plain[:5](batch), rtol=0, atol=1e-12)
        torch.testing.assert_close(kept["0"], plain[:1](batch), rtol=0, atol=1e-12)
    assert engine.name == f"torch {torch.__version__}"
    assert not output.requires_grad


def test_a_part_goes_on_from_where_it_is_given() -> None:
    plain, batch = module().double(), image(2).double()
    graph = graph_of(plain, torch.float64)
    middle = graph.names["3"].node
    with torch.no_grad():
        output, kept = TorchEngine(Part(graph, (middle,), ("4",)))(plain[:4](batch))
        torch.testing.assert_close(output, plain(batch), rtol=0, atol=1e-12)
        nothing, alone = TorchEngine(Part(graph, (middle,), ("4",), whole=False))(plain[:4](batch))
    assert nothing is None
    assert torch.equal(alone["4"], kept["4"])


def test_weights_lie_channels_last(part: Part) -> None:
    weights = [
        node.kwargs["weight"] for node in part.graph.nodes if getattr(node.kwargs.get("weight"), "dim", int)() == 4
    ]
    assert len(weights) >= 2
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)


def test_autocast_runs_in_its_type(part: Part) -> None:
    batch = image(2)
    exact, _ = TorchEngine(part)(batch)
    half, _ = TorchEngine(part, autocast=torch.bfloat16)(batch)
    assert (exact.dtype, half.dtype) == (torch.float32, torch.bfloat16)
    torch.testing.assert_close(half.float(), exact, rtol=0.05, atol=0.05)


class Viewing(nn.Module):
    """What counts on how values lie in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.last = nn.Conv2d(3, 4, 3), nn.Linear(4 * 14 * 14, 5)

    def forward(self, x: Tensor) -> Any:
        x = self.conv(x)
        rows = x.as_strided((len(x), 3), (x.stride(0), 14))
        return self.last(x.view(x.size(0), -1)), x.view_as(x).view(-1, 8, 98), rows, x.view(torch.int64)


class WritingViews(Viewing):
    """And what writes into it, so that it can't lie otherwise."""

    def forward(self, x: Tensor) -> Any:
        x = self.conv(x)
        x.view(x.size(0), -1)[:, :7] = 0
        return self.last(x.view(x.size(0), -1)), x


@pytest.mark.parametrize("network", [Viewing, WritingViews])
def test_views_are_of_values_in_any_layout(network: Callable[[], nn.Module]) -> None:
    plain, batch = network().double().eval(), image(2).double()
    part = Part(graph_of(plain, torch.float64))
    assert part.graph.writes == isinstance(plain, WritingViews)
    with torch.no_grad():
        for given in (batch, batch.to(memory_format=torch.channels_last)):
            for one, other in zip(TorchEngine(part)(given)[0], plain(batch), strict=True):
                close = (one - other).abs().max() <= 1e-12 if one.is_floating_point() else one.shape == other.shape
                assert close


class Writing(nn.Module):
    """It sets a part of what it is fed."""

    def forward(self, x: Tensor) -> Tensor:
        x[:, 0] = x[:, 0] + x[:, 1]
        return x.mean((2, 3))


def test_what_an_engine_is_given_stays_as_it_is() -> None:
    part, batch = Part(graph_of(Writing())), image(2)
    assert part.graph.writes
    for given in (batch.clone(), batch.to(memory_format=torch.channels_last).clone()):
        first, _ = TorchEngine(part)(given)
        assert torch.equal(given, batch)
        torch.testing.assert_close(first, Writing()(batch.clone()))


# --- How many at once ---


def test_as_many_at_once_as_memory_near_the_processor_holds(part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    values = part.graph.values(image())
    assert affordable(part, values) == 64
    assert affordable(part, values, most=7) == 7
    largest = 2 * 6 * 14 * 14 * 4  # the first ReLU's input and output
    for count in (1, 5):
        monkeypatch.setattr(engines, "_NEAR", count * largest + 1)
        assert affordable(part, values) == count
    monkeypatch.setattr(engines, "_NEAR", 1)
    assert affordable(part, values) == 1


# --- Which is taken ---


class Fake:
    """Stands for ONNX Runtime."""

    name = "onnxruntime 0"
    made = 0

    def __init__(self, part: Part, example: tuple[Tensor, ...], *, alone: bool) -> None:
        Fake.made += 1
        self.part = part

    def __call__(self, *given: Tensor) -> tuple[Any, dict[str, Tensor]]:
        return self.part.run(given, len(given[0]))


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As if ONNX Runtime were installed, took no time to export and half of torch's to run."""
    monkeypatch.setenv("CONVSCOPE_CACHE", str(tmp_path))
    monkeypatch.setattr(onnx_engine, "is_installed", lambda: True)
    monkeypatch.setattr(onnx_engine, "exported_path", lambda part, example: tmp_path / "none.onnx")
    monkeypatch.setattr(onnx_engine, "OnnxEngine", Fake)
    monkeypatch.setattr(Fake, "made", 0)
    monkeypatch.setattr(engines, "_seconds", lambda engine, given: 2.0 if isinstance(engine, TorchEngine) else 1.0)


@pytest.mark.usefixtures("installed")
def test_auto_takes_the_faster(part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(engine_for(part, (image(),), images=1000), Fake)
    monkeypatch.setattr(engines, "_seconds", lambda engine, given: 1.0 if isinstance(engine, TorchEngine) else 2.0)
    assert isinstance(engine_for(part, (image(),), images=1000), TorchEngine)
    assert Fake.made == 2


@pytest.mark.usefixtures("installed")
def test_nothing_is_exported_that_will_not_pay(part: Part, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(engine_for(part, (image(),), images=3), TorchEngine)
    assert Fake.made == 0
    (tmp_path / "none.onnx").touch()
    assert isinstance(engine_for(part, (image(),), images=3), Fake)
    monkeypatch.setattr(engines, "_LARGEST", 10)
    assert isinstance(engine_for(part, (image(),), images=1000), TorchEngine)


@pytest.mark.usefixtures("installed")
def test_other_types_are_torchs(part: Part) -> None:
    double = Part(graph_of(module(), torch.float64))
    assert isinstance(engine_for(double, (image().double(),), images=1000), TorchEngine)
    assert isinstance(engine_for(part, (image(),), prefer="torch", images=1000), TorchEngine)
    assert Fake.made == 0


@pytest.mark.usefixtures("installed")
def test_what_can_not_be_exported_is_torchs_with_one_line_of_warning(
    part: Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(part: Part, example: tuple[Tensor, ...], *, alone: bool) -> None:
        raise NetworkError("the network can't be exported to ONNX (no such operator)")

    monkeypatch.setattr(onnx_engine, "OnnxEngine", failing)
    with pytest.warns(RuntimeWarning) as seen:
        assert isinstance(engine_for(part, (image(),), images=1000), TorchEngine)
    (warning,) = seen
    assert str(warning.message) == "the network can't be exported to ONNX (no such operator); torch runs it"


@pytest.mark.usefixtures("installed")
def test_a_batch_of_images_is_tried_and_warned_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(part: Part, example: tuple[Tensor, ...], *, alone: bool) -> None:
        raise NetworkError("can't")

    monkeypatch.setattr(onnx_engine, "OnnxEngine", failing)
    network = cs.Network(module(), input_size=16)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        cs.occlusion(network, image(3), 1, window=4, stride=2, method="dense")
    assert [each.category for each in seen] == [RuntimeWarning]


def test_an_unknown_engine_is_named_with_the_known(part: Part) -> None:
    with pytest.raises(NetworkError, match="unknown engine 'onnxx'; nearest: onnx"):
        engine_for(part, (image(),), prefer="onnxx")  # type: ignore[arg-type]


def test_without_the_extra(part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'convscope\[onnx\]'"):
        engine_for(part, (image(),), prefer="onnx")
    assert isinstance(engine_for(part, (image(),), images=10**9), TorchEngine)


@pytest.mark.slow
@pytest.mark.skipif(not HAS_ONNX, reason="needs the extra onnx")
def test_measured_in_earnest(part: Part, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whichever it is, it gives the same."""
    monkeypatch.setenv("CONVSCOPE_CACHE", str(tmp_path))
    monkeypatch.setattr(engines, "_EXPORT_SECONDS", 0.0)
    chosen = engine_for(part, (image(),), images=1000)
    batch = image(3)
    torch.testing.assert_close(chosen(batch)[0], TorchEngine(part)(batch)[0], rtol=0, atol=1e-5)
    assert len(list((tmp_path / "onnx").glob("*.onnx"))) == 1
