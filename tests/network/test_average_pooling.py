"""Averages in place of maxima: the same windows, the same names, and the module untouched."""

import pytest
import torch
from tests.synthesis.networks import small
from torch import Tensor, nn

import convscope as cs
from convscope.errors import NetworkError
from convscope.network.average_pooling import AveragePooled


def pooling(kind: type[nn.Module], **options: object) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), kind(**options), nn.Conv2d(4, 5, 3))


@pytest.mark.parametrize(
    "options",
    [{"kernel_size": 2}, {"kernel_size": 3, "stride": 2, "padding": 1}, {"kernel_size": 2, "ceil_mode": True}],
)
def test_it_is_the_network_with_average_pooling(options: dict[str, object]) -> None:
    module = pooling(nn.MaxPool2d, **options)
    network = cs.Network(module, input_size=17)
    other = cs.Network(pooling(nn.AvgPool2d, **options, count_include_pad=False), input_size=17)
    pooled = AveragePooled(network)
    for size in ((17, 17), (12, 20)):
        image = torch.rand(3, *size)
        torch.testing.assert_close(pooled.logits(image), other.logits(image))
        torch.testing.assert_close(pooled.capture(image, ["2"])["2"], other.capture(image, ["2"])["2"])
        torch.testing.assert_close(network.logits(image), cs.Network(module, input_size=17).logits(image))
    assert isinstance(module[2], nn.MaxPool2d)  # type: ignore[index]
    assert list(pooled.layers) == list(network.layers)
    shape = (3, 17, 17)
    assert pooled.graph(shape) is pooled.graph(shape)


def test_windows_with_gaps_stay_maxima() -> None:
    network = cs.Network(pooling(nn.MaxPool2d, kernel_size=2, dilation=2), input_size=17)
    with pytest.raises(NetworkError, match="no max pooling"):
        AveragePooled(network).logits(torch.rand(3, 17, 17))


class Untraceable(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(1, 2, 3), keepdim=True) if float(x.sum()) > 0 else x.amax(dim=(1, 2, 3), keepdim=True)


def test_networks_that_it_means_nothing_for() -> None:
    for network, says in ((small(), "no max pooling"), (cs.Network(Untraceable(), input_size=8), "can't be traced")):
        with pytest.raises(NetworkError, match=says):
            AveragePooled(network).logits(torch.rand(3, 24, 24))
