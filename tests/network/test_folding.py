"""Batch norm folded into the layer before it: the same numbers, and no batch norm left where that can be."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

import convscope as cs
from convscope.network.engine import lean
from convscope.network.graph import Graph
from convscope.network.ops import name_of


def statistics(module: nn.Module) -> nn.Module:
    """Its batch norms as training leaves them."""
    for layer in module.modules():
        if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)) and layer.running_mean is not None:
            assert layer.running_var is not None
            nn.init.normal_(layer.running_mean)
            nn.init.uniform_(layer.running_var, 0.3, 2)
            for parameter in layer.parameters():
                nn.init.uniform_(parameter, -1.5, 1.5)
    return module


def graphs(module: nn.Module, batch: Tensor) -> tuple[Graph, Graph]:
    """As it is traced, and lean."""
    plain = cs.Network(module, input_size=(batch.shape[2], batch.shape[3])).graph(tuple(batch.shape[1:]))
    assert plain is not None
    return plain, lean(plain, batch[:1])


def norms(graph: Graph) -> int:
    """How many batch norms are run."""
    return sum(name_of(graph.nodes[index].function) == "batch_norm" for index in graph.order((0,)))


class Calls(nn.Module):
    """Whatever a function makes of the image with these layers."""

    def __init__(self, function: Callable[..., Any], **layers: nn.Module) -> None:
        super().__init__()
        self.function, self.layers = function, nn.ModuleDict(layers)

    def forward(self, x: Tensor) -> Any:
        return self.function(x, **self.layers)


def in_functions(x: Tensor, conv: Any, norm: Any) -> Tensor:
    mean, variance = norm.running_mean, norm.running_var
    x = F.conv2d(x, conv.weight, conv.bias, 2, (1, 0))
    return F.batch_norm(x, mean, variance, norm.weight, norm.bias, eps=0.1)


FOLDED: dict[str, Callable[[], nn.Module]] = {
    "conv2d": lambda: nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.BatchNorm2d(6)),
    "without bias": lambda: nn.Sequential(nn.Conv2d(3, 6, (1, 3), bias=False), nn.BatchNorm2d(6, eps=0.01)),
    "grouped": lambda: nn.Sequential(nn.Conv2d(3, 6, 3, groups=3, dilation=2), nn.BatchNorm2d(6)),
    "without gain": lambda: nn.Sequential(nn.Conv2d(3, 6, 3, padding="same"), nn.BatchNorm2d(6, affine=False)),
    "in place after": lambda: nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace=True)),
    "conv1d": lambda: Calls(lambda x, a, b: b(a(x.flatten(2))), a=nn.Conv1d(3, 5, 4), b=nn.BatchNorm1d(5)),
    "linear": lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 99, 7, bias=False), nn.BatchNorm1d(7)),
    "functions": lambda: Calls(in_functions, conv=nn.Conv2d(3, 4, 3), norm=nn.BatchNorm2d(4)),
    "a weight that is computed": lambda: nn.Sequential(weight_norm(nn.Conv2d(3, 6, 3)), nn.BatchNorm2d(6)),
    "a layer called twice": lambda: Calls(
        lambda x, a, b: b(a(x)) + b(a(x.flip(-1))), a=nn.Conv2d(3, 4, 3), b=nn.BatchNorm2d(4)
    ),
}


@pytest.mark.parametrize("case", FOLDED)
def test_folded_equals_plain(case: str) -> None:
    module = statistics(FOLDED[case]()).double().eval()
    batch = torch.rand(2, 3, 9, 11, dtype=torch.float64)
    plain, folded = graphs(module, batch)
    assert norms(plain) > 0
    assert norms(folded) == 0
    with torch.no_grad():
        torch.testing.assert_close(folded.run(batch)[0], module(batch), rtol=0, atol=1e-12)


def of_the_image(x: Tensor, a: Any, b: Any) -> Tensor:
    gain = x.mean().expand(4)
    return F.batch_norm(a(x), b.running_mean, b.running_var, gain, b.bias)


KEPT: dict[str, Callable[[], nn.Module]] = {
    "read twice": lambda: Calls(lambda x, a, b: b(y := a(x)) + y.relu(), a=nn.Conv2d(3, 4, 3), b=nn.BatchNorm2d(4)),
    "returned too": lambda: Calls(lambda x, a, b: (b(y := a(x)), y), a=nn.Conv2d(3, 4, 3), b=nn.BatchNorm2d(4)),
    "a view of it read": lambda: Calls(
        lambda x, a, b: b(y := a(x)) * y[:, :1], a=nn.Conv2d(3, 4, 3), b=nn.BatchNorm2d(4)
    ),
    "something between": lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4)),
    "transposed": lambda: nn.Sequential(nn.ConvTranspose2d(3, 4, 3), nn.BatchNorm2d(4)),
    "nothing before": lambda: nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3)),
    "statistics of the batch": lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)),
    "a gain that depends on the image": lambda: Calls(of_the_image, a=nn.Conv2d(3, 4, 3), b=nn.BatchNorm2d(4)),
    "other channels": lambda: Calls(lambda x, a, b: b(a(x.flatten(2))), a=nn.Linear(99, 3), b=nn.BatchNorm1d(3)),
    "as many other channels": lambda: Calls(
        lambda x, a, b: b(a(x.flatten(2))), a=nn.Linear(99, 8), b=nn.BatchNorm1d(3)
    ),
}


@pytest.mark.parametrize("case", KEPT)
def test_what_can_not_be_folded_is_kept(case: str) -> None:
    module = statistics(KEPT[case]()).double().eval()
    batch = torch.rand(2, 3, 9, 11, dtype=torch.float64)
    plain, folded = graphs(module, batch)
    assert norms(folded) == norms(plain) == 1
    with torch.no_grad():
        torch.testing.assert_close(folded.run(batch)[0], module(batch), rtol=0, atol=1e-12)


def test_the_layer_itself_is_still_there_to_be_asked_for() -> None:
    module = statistics(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())).double().eval()
    batch = torch.rand(2, 3, 9, 11, dtype=torch.float64)
    _, folded = graphs(module, batch)
    with torch.no_grad():
        output, kept = folded.run(batch, ("0", "1"))
        conv = module[0](batch)  # type: ignore[index]
        torch.testing.assert_close(kept["0"], conv, rtol=0, atol=1e-12)
        torch.testing.assert_close(kept["1"], module[1](conv), rtol=0, atol=1e-12)  # type: ignore[index]
        torch.testing.assert_close(output, module(batch), rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_weights_keep_their_type(dtype: torch.dtype) -> None:
    module = statistics(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))).to(dtype).eval()
    batch = torch.rand(2, 3, 9, 11).to(dtype)
    _, folded = graphs(module, batch)
    with torch.no_grad():
        output, _ = folded.run(batch)
        torch.testing.assert_close(output, module(batch), rtol=0.02, atol=0.02)
    assert (norms(folded), output.dtype) == (0, dtype)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2"])
def test_none_is_left_in_known_networks(name: str) -> None:
    models = pytest.importorskip("torchvision.models")
    module = statistics(models.get_model(name)).eval()
    plain, folded = graphs(module, torch.rand(1, 3, 64, 64))
    assert (norms(plain), norms(folded)) == ({"resnet18": 20, "mobilenet_v2": 52}[name], 0)


def test_none_is_left_in_the_real_network(lite0: cs.Network) -> None:
    before = copy.deepcopy(lite0.module.state_dict())
    plain, folded = graphs(lite0.module, torch.rand(1, 3, 96, 96))
    assert (norms(plain), norms(folded)) == (49, 0)
    assert all(torch.equal(value, before[name]) for name, value in lite0.module.state_dict().items())
