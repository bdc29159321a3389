"""ONNX Runtime as an engine: what torch gives, exported once for the same weights, silently."""

import copy
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import convscope as cs
from convscope.errors import NetworkError
from convscope.network import onnx_engine
from convscope.network.engine import Part, TorchEngine, lean
from convscope.network.onnx_engine import OnnxEngine, exported_path

for _name in onnx_engine._PACKAGES:
    pytest.importorskip(_name)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where exports are kept."""
    monkeypatch.setenv("CONVSCOPE_CACHE", str(tmp_path))
    return tmp_path / "onnx"


@pytest.fixture
def exports(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every export that is made."""
    made: list[Path] = []
    export = onnx_engine._export

    def counted(part: Part, example: tuple[Tensor, ...], path: Path) -> None:
        made.append(path)
        export(part, example, path)

    monkeypatch.setattr(onnx_engine, "_export", counted)
    return made


def module() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)).eval()


def part_of(network: nn.Module, **options: Any) -> Part:
    graph = cs.Network(network, input_size=8).graph((3, 8, 8))
    assert graph is not None
    return Part(lean(graph, torch.zeros(1, 3, 8, 8)), **options)


def image(count: int = 1) -> Tensor:
    return torch.rand(count, 3, 8, 8)


def assert_agree(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=0, atol=1e-4 * float(other.abs().max()))


class Several(nn.Module):
    """It returns more than a tensor, in-place forms and shapes that depend on the batch among it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.other, self.last = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, padding=1), nn.Linear(144, 5)

    def forward(self, x: Tensor) -> Any:
        x = self.conv(x).relu_()
        y = self.other(x) + x
        return {"logits": self.last(y.view(y.size(0), -1)), "maps": (x, 3)}


def test_it_gives_what_torch_gives_for_batches_of_any_size() -> None:
    part = part_of(Several().eval(), keep=("other", "conv"))
    engine = OnnxEngine(part, (image(),))
    assert engine.name.startswith("onnxruntime ")
    for count in (1, 2, 7):
        batch = image(count)
        (output, kept), (expected, seen) = engine(batch), TorchEngine(part)(batch)
        assert_agree(output["logits"], expected["logits"])
        assert_agree(output["maps"][0], expected["maps"][0])
        assert output["maps"][1] == 3
        assert set(kept) == set(seen) == {"other", "conv"}
        for name in kept:
            assert_agree(kept[name], seen[name])


def test_layers_alone_and_a_part_given_two_values() -> None:
    network = Several().eval()
    whole = part_of(network)
    values = whole.graph.values(image())
    nodes = whole.graph.names["conv"].node + 1, whole.graph.names["other"].node
    part = Part(whole.graph, nodes)
    given = tuple(values[node] for node in nodes)
    doubled = tuple(torch.cat([each, each.flip(2)]) for each in given)
    (output, _), (expected, _) = OnnxEngine(part, given)(*doubled), TorchEngine(part)(*doubled)
    assert_agree(output["logits"], expected["logits"])
    layers = Part(whole.graph, keep=("other",), whole=False)
    nothing, kept = OnnxEngine(layers, (image(),))(batch := image(3))
    assert nothing is None
    assert_agree(kept["other"], TorchEngine(layers)(batch)[1]["other"])


def test_the_same_weights_are_exported_once(exports: list[Path], folder: Path) -> None:
    network = module()
    OnnxEngine(part_of(network), (image(),))
    OnnxEngine(part_of(copy.deepcopy(network)), (image(),))
    assert len(exports) == 1
    assert list(folder.iterdir()) == exports
    with torch.no_grad():
        network[0].bias[2] += 0.25  # type: ignore[index,operator]
    changed = part_of(network)
    engine = OnnxEngine(changed, (image(),))
    assert len(set(exports)) == 2
    assert_agree(engine(batch := image(2))[0], TorchEngine(changed)(batch)[0])


def test_what_is_asked_is_part_of_where_an_export_is_kept() -> None:
    network = module()
    part = part_of(network)
    paths = [
        exported_path(each, (example,))
        for each, example in [
            (part, image()),
            (part_of(network, keep=("0",)), image()),
            (part_of(network, keep=("0",), whole=False), image()),
            (part, torch.rand(1, 3, 9, 8)),
            (Part(part.graph, (part.graph.names["1"].node,)), torch.rand(1, 4, 6, 6)),
        ]
    ]
    assert len(set(paths)) == len(paths)
    assert exported_path(part_of(copy.deepcopy(network)), (image(),)) == paths[0]


def test_a_damaged_export_is_made_again(exports: list[Path]) -> None:
    part = part_of(module())
    OnnxEngine(part, (image(),))
    exports[0].write_bytes(exports[0].read_bytes()[:50])
    engine = OnnxEngine(part, (image(),))
    assert len(exports) == 2
    assert_agree(engine(batch := image(2))[0], TorchEngine(part)(batch)[0])


def test_nothing_is_printed_and_nothing_left_behind(capfd: pytest.CaptureFixture[str], folder: Path) -> None:
    OnnxEngine(part_of(Several().eval()), (image(),))
    assert capfd.readouterr() == ("", "")
    assert [path.suffix for path in folder.iterdir()] == [".onnx"]


@pytest.mark.parametrize("error", [AssertionError(), ValueError("no such operator\nand much more"), KeyError("x")])
def test_what_can_not_be_exported_is_said_in_a_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    def failing(*args: Any, **options: Any) -> None:
        raise error

    monkeypatch.setattr(torch.onnx, "export", failing)
    said = (str(error).splitlines() or ["AssertionError"])[0]
    with pytest.raises(NetworkError) as seen:
        OnnxEngine(part_of(module()), (image(),))
    assert str(seen.value) == f"the network can't be exported to ONNX ({said})"
    assert not folder.exists() or not list(folder.iterdir())


class Bessel(nn.Module):
    """An operation that ONNX doesn't have."""

    def forward(self, x: Tensor) -> Tensor:
        bessel: Tensor = torch.special.bessel_j0(x)
        return bessel.mean((2, 3))


def test_what_onnx_lacks_is_said_in_a_line_too(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(NetworkError, match="bessel") as seen:
        OnnxEngine(part_of(Bessel()), (image(),))
    assert str(seen.value).isprintable()
    assert capfd.readouterr() == ("", "")


def test_what_onnx_runtime_can_not_load_is_said_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(path: Path, alone: bool) -> None:
        raise RuntimeError("no kernel\nat all")

    monkeypatch.setattr(onnx_engine, "_export", lambda part, example, path: None)
    monkeypatch.setattr(onnx_engine, "_loaded", failing)
    with pytest.raises(NetworkError, match=r"ONNX Runtime can't run the network \(no kernel\)$"):
        OnnxEngine(part_of(module()), (image(),))


def test_another_result_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    part = part_of(module())

    class Session:
        def __init__(self, error: float) -> None:
            self.error = error

        def get_inputs(self) -> list[SimpleNamespace]:
            return [SimpleNamespace(name="given")]

        def run(self, names: None, feeds: dict[str, Any]) -> list[Any]:
            output, _ = TorchEngine(part)(torch.from_numpy(feeds["given"]))
            return [(output * (1 + self.error)).numpy()]

    monkeypatch.setattr(onnx_engine, "_session", lambda part, example, alone: Session(5e-5))
    OnnxEngine(part, (image(),))
    monkeypatch.setattr(onnx_engine, "_session", lambda part, example, alone: Session(1e-3))
    with pytest.raises(NetworkError, match="another result"):
        OnnxEngine(part, (image(),))


def test_doubles_are_refused() -> None:
    with pytest.raises(NetworkError, match="float32; use engine='torch'"):
        OnnxEngine(part_of(module()), (image().double(),))


@pytest.fixture(scope="module")
def exported_lite0(lite0: cs.Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Part, OnnxEngine]]:
    graph = lite0.graph((3, 128, 128))
    assert graph is not None
    fed = torch.rand(1, 3, 128, 128)
    part = Part(lean(graph, fed), keep=("blocks.12.depthwise.conv", "blocks.9.add"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONVSCOPE_CACHE", str(tmp_path_factory.mktemp("lite0")))
        yield part, OnnxEngine(part, (fed,))


@pytest.mark.slow
def test_the_real_network(exported_lite0: tuple[Part, OnnxEngine], lite0: cs.Network) -> None:
    part, engine = exported_lite0
    fed = lite0.feed(torch.rand(3, 3, 128, 128))
    (output, kept), (expected, seen) = engine(fed), TorchEngine(part)(fed)
    plain, layers = lite0.run_fed(fed, tuple(kept))
    assert_agree(output, expected)
    assert_agree(output, plain)
    for name in kept:
        assert_agree(kept[name], seen[name])
        assert_agree(kept[name], layers[name])
