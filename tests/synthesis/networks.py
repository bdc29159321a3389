"""Small networks of which it is known what they would like to see."""

import functools

import torch
from torch import Tensor, nn

import convscope as cs


class Template(nn.Module):
    """One class: the dot product of the image with a template `(C, H, W)`, ten times."""

    def __init__(self, template: Tensor) -> None:
        super().__init__()
        self.template = nn.Parameter(template)

    def forward(self, x: Tensor) -> Tensor:
        return (10 * (x * self.template).sum(dim=(1, 2, 3)))[:, None].expand(-1, 2) * torch.tensor([1.0, -1.0])


@functools.cache
def linear(side: int = 16, channels: int = 3) -> cs.Network:
    """A linear network: class 0 wants its template, class 1 the opposite."""
    generator = torch.Generator().manual_seed(3)
    template = torch.randn(channels, side, side, generator=generator)
    return cs.Network(Template(template), input_size=side, channels=channels)


@functools.cache
def small(side: int = 24) -> cs.Network:
    """Two convolutions with a ReLU6 each and a linear layer, random; any size from 4 pixels on."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        module = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU6(),
            nn.Conv2d(8, 12, 3, padding=1, stride=2), nn.ReLU6(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 5),
        )  # fmt: skip
        return cs.Network(module.eval(), input_size=side)


def dead() -> cs.Network:
    """All of its units are switched off for any start: plain gradients are 0."""
    first, second, last = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1), nn.Linear(32, 2)
    module = nn.Sequential(first, nn.ReLU6(), second, nn.ReLU(), nn.Flatten(), last)
    with torch.no_grad():
        for each in (first, second):
            each.weight.fill_(0.5)
            nn.init.constant_(each.bias, -3.0)  # type: ignore[arg-type]
        last.weight.fill_(1.0)
    return cs.Network(module, input_size=4)
