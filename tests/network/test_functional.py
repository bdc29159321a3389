"""Graphs without writes in place: the same results, every value as it was made, or a plain no."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from tests.random_networks import Made, modules
from torch import Tensor, nn

import convscope as cs
from convscope.network.engine import lean
from convscope.network.functional import NotFunctional, functional
from convscope.network.graph import Graph


class Call(nn.Module):
    """A convolution, and what a function makes of its output."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.conv, self.function = nn.Conv2d(3, 4, 3), function

    def forward(self, x: Tensor) -> Any:
        return self.function(self.conv(x))


def traced(module: nn.Module, size: tuple[int, int] = (8, 9)) -> Graph:
    graph = cs.Network(module, input_size=size).graph((3, *size))
    assert graph is not None
    return graph


def rewritten(graph: Graph, batch: Tensor) -> Graph:
    """The graph without writes; none of its values is changed by what follows."""
    with torch.no_grad():
        found = graph.rewritten(*functional(graph.nodes, graph.output, graph.values(batch.clone())))
        assert not found.writes
        values = found.values(batch)
        before = copy.deepcopy(values)
        for index in range(1, len(values)):
            assert same(values[index], before[index])
            assert found.constant[index] or same(found.call(index, values, len(batch)), before[index])
    return found


def same(one: Any, other: Any) -> bool:
    if isinstance(one, (tuple, list)):
        return all(map(same, one, other))
    return torch.equal(one, other)


def both(x: Tensor, y: Tensor) -> Tensor:
    """Something that needs what was written and what it was written into."""
    return x + 2 * y


IN_PLACE: dict[str, Callable[[Tensor], Any]] = {
    "Tensor.relu_": lambda x: both(x, x.relu_()),
    "torch.relu_": lambda x: both(x, torch.relu_(x)),
    "relu by keyword": lambda x: both(x, F.relu(x, inplace=True)),
    "relu by place": lambda x: both(x, F.relu(x, True)),
    "relu6": lambda x: both(x, F.relu6(x, True)),
    "hardtanh": lambda x: both(x, F.hardtanh(x, -0.1, 0.2, True)),
    "hardtanh_": lambda x: both(x, F.hardtanh_(x, -0.1, 0.2)),
    "elu_": lambda x: both(x, F.elu_(x, 0.5)),
    "leaky_relu_": lambda x: both(x, F.leaky_relu_(x, 0.3)),
    "threshold": lambda x: both(x, F.threshold(x, 0.1, 0.3, True)),
    "silu": lambda x: both(x, F.silu(x, inplace=True)),
    "module": lambda x: both(x, nn.Hardswish(inplace=True)(x)),
    "clamp_": lambda x: both(x, x.clamp_(-0.1, 0.1)),
    "sigmoid_": lambda x: both(x, torch.sigmoid_(x)),
    "add_": lambda x: both(x, x.add_(x, alpha=2)),
    "addcmul_": lambda x: both(x, x.addcmul_(x, x, value=0.5)),
    "mul_ by channels": lambda x: both(x, x.mul_(x.mean((2, 3), keepdim=True))),
    "twice": lambda x: both(x.mul_(2), x.add_(1).relu_()),
    "after it was read": lambda x: both(x.sum(1, keepdim=True), x.relu_()),
    "read by a call that copies": lambda x: both(F.max_pool2d(x, 1), x.relu_()),
    "a view, nothing else read": lambda x: x[:, :2].relu_(),
    "a view of the whole": lambda x: both(x.view(len(x), -1).relu_(), 1.0),  # type: ignore[arg-type]
}


def operators(x: Tensor) -> Tensor:
    x += 1
    x -= x.mean(1, keepdim=True)
    x *= 2
    x /= 3
    x **= 2
    return x


@pytest.mark.parametrize("function", [*IN_PLACE.values(), operators], ids=[*IN_PLACE, "operators"])
def test_every_form_in_place_has_one_out_of_place(function: Callable[[Tensor], Any]) -> None:
    module = Call(function).double().eval()
    batch = torch.rand(2, 3, 8, 9, dtype=torch.float64)
    graph = traced(module)
    assert graph.writes
    with torch.no_grad():
        assert torch.equal(rewritten(graph, batch).run(batch)[0], module(batch.clone()))


@given(modules())
@settings(max_examples=60, deadline=None)
def test_random_networks_are_the_same_without_writes(made: Made) -> None:
    module, size = made
    batch = torch.rand(2, 3, *size, dtype=torch.float64)
    with torch.no_grad():
        assert torch.equal(rewritten(traced(module, size), batch).run(batch)[0], module(batch.clone()))


def a_view_read_later(x: Tensor) -> Tensor:
    half = x[:, :2]
    x.relu_()
    return both(half, x[:, 2:])


def a_view_written(x: Tensor) -> Tensor:
    x[:, :2].relu_()
    return x


def a_part_set(x: Tensor) -> Tensor:
    x[:, 0] = 1.0
    return x


def copied_into(x: Tensor) -> Tensor:
    return x.copy_(x * 2)


def another_output(x: Tensor) -> Tensor:
    y = x * 2
    torch.add(x, x, out=y)
    return y


def a_column(x: Tensor) -> Tensor:
    y = x.flatten(2)
    x.mul_(2)
    return y


@pytest.mark.parametrize("function", [a_view_read_later, a_view_written, a_part_set, copied_into, a_column])
def test_what_has_no_other_form_stays_as_it_is_and_right(function: Callable[[Tensor], Tensor]) -> None:
    module = Call(function).double().eval()
    batch = torch.rand(2, 3, 8, 9, dtype=torch.float64)
    graph = traced(module)
    with torch.no_grad():
        with pytest.raises(NotFunctional):
            functional(graph.nodes, graph.output, graph.values(batch.clone()))
        still = lean(graph, batch[:1].clone())
        assert still.writes
        torch.testing.assert_close(still.run(batch.clone())[0], module(batch.clone()), rtol=0, atol=1e-12)


def test_the_users_weights_are_never_changed_and_always_followed() -> None:
    """Of a network that is rewritten, folded and laid out anew: neither it nor its later weights are lost."""
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(168, 2)
    )
    module = module.double()
    before = copy.deepcopy(module.state_dict())
    places = [value.data_ptr() for value in module.state_dict().values()]
    net, image = cs.Network(module, input_size=(8, 9)), torch.rand(3, 8, 9, dtype=torch.float64)
    first = cs.occlusion(net, image, 1, window=3, stride=3)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert places == [value.data_ptr() for value in module.state_dict().values()]
    assert not module[0].weight.is_contiguous(memory_format=torch.channels_last)  # type: ignore[operator]
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(1.5)
        module[1].running_mean.add_(0.1)  # type: ignore[operator]
    second = cs.occlusion(net, image, 1, window=3, stride=3)
    expected = cs.occlusion(cs.Network(module, input_size=(8, 9)), image, 1, window=3, stride=3, method="dense")
    torch.testing.assert_close(second.values, expected.values, rtol=0, atol=1e-12)
    assert not torch.allclose(first.values, second.values)


def test_nothing_is_written_to_what_it_is_fed() -> None:
    module = Call(lambda x: x).double()
    module.function = lambda x: x.relu_()
    batch = torch.rand(1, 3, 8, 9, dtype=torch.float64)
    before = batch.clone()
    rewritten(traced(nn.Sequential(nn.ReLU(inplace=True), module)), batch)
    assert torch.equal(batch, before)
