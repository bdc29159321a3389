"""A network made ready for many gradients gives those of the network."""

import pytest
import torch
from hypothesis import given, settings
from tests.random_networks import Made, modules
from tests.synthesis.networks import small
from torch import Tensor, nn

import convscope as cs
from convscope.errors import LayerError
from convscope.network.differentiable import Differentiable


def gradient(run: Differentiable, batch: Tensor, index: int) -> Tensor:
    batch = batch.clone().requires_grad_()
    return torch.autograd.grad(run(batch).logits.flatten(1)[:, index].sum(), batch)[0]


@settings(max_examples=30, deadline=None)
@given(modules())
def test_gradients_are_those_of_the_network(made: Made) -> None:
    module, size = made
    net = cs.Network(module, input_size=size, head="none")
    batch = torch.rand(2, 3, *size, dtype=torch.float64)
    run = Differentiable(net, (3, *size))
    expected = batch.clone().requires_grad_()
    logits = net.reader.logits(net.run(expected)[0]).flatten(1)[:, 0].sum()
    if not logits.requires_grad:
        return
    try:
        (slow,) = torch.autograd.grad(logits, expected, allow_unused=True)
    except RuntimeError:  # it writes over what its own derivative needs: only the lean graph can be differentiated
        return
    if slow is not None:
        torch.testing.assert_close(gradient(run, batch, 0), slow, rtol=1e-6, atol=1e-9)


def test_layers_are_under_the_names_asked_for_and_no_more_is_run(lite0: cs.Network) -> None:
    image = lite0.prepare(cs.read_image("chelsea"))
    run = Differentiable(lite0, (3, 224, 224), layers=["blocks.1"], whole=False)
    answers = run(image[None])
    assert answers.output is None
    torch.testing.assert_close(
        answers.layers["blocks.1"][0], lite0.capture(image, ["blocks.1"])["blocks.1"], rtol=1e-3, atol=1e-3
    )


def test_weights_have_no_gradients_and_the_module_is_left_alone() -> None:
    net = small()
    before = {name: value.clone() for name, value in net.module.state_dict().items()}
    gradient(Differentiable(net, (3, 24, 24)), torch.rand(2, 3, 24, 24), 1)
    assert all(each.grad is None and each.requires_grad for each in net.module.parameters())
    assert all(torch.equal(value, before[name]) for name, value in net.module.state_dict().items())


def test_an_unknown_layer() -> None:
    with pytest.raises(LayerError, match="nearest"):
        Differentiable(small(), (3, 24, 24), layers=["33"])


def test_redirected_only_where_all_is_blocked() -> None:
    """Twin: one rectifier by hand."""
    module = nn.Sequential(nn.Flatten(), nn.ReLU6())
    net = cs.Network(module, input_size=(1, 4), channels=1, head="none")
    run = Differentiable(net, (1, 1, 4))
    dead, alive, high = [-1.0, -2.0, -1.0, -3.0], [-1.0, 2.0, -1.0, 3.0], [7.0, 8.0, 7.0, 9.0]
    batch = torch.tensor([dead, alive, high])[:, None, None].requires_grad_()
    weights = torch.tensor([1.0, 1.0, -1.0, -1.0])
    plain, redirected = (
        torch.autograd.grad((run(batch, redirect=redirect).output * weights).sum(), batch)[0].flatten(1)
        for redirect in (False, True)
    )
    assert plain.tolist() == [[0, 0, 0, 0], [0, 1, 0, -1], [0, 0, 0, 0]]
    assert redirected.tolist() == [[1, 1, 0, 0], [0, 1, 0, -1], [0, 0, -1, -1]]
