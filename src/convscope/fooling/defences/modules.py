"""The networks of digits that are trained to compare defences: one small CNN, and what takes the place of its parts."""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from convscope.fooling.defences.digits import CLASSES, SIDE
from convscope.fooling.defences.radial import RadialAnswers, RadialUnits

_WIDTH = 48


def convolutional(classes: int = CLASSES, *, unit: type[nn.Module] = nn.ReLU, radial: bool = False) -> nn.Sequential:
    """Three convolutions, a hidden layer and the answers, which are `radial` or linear."""
    flat = 32 * (SIDE // 2) ** 2
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 16, 3, padding=1), unit1=unit(),
            conv2=nn.Conv2d(16, 32, 3, padding=1), unit2=unit(), pool=nn.MaxPool2d(2),
            conv3=nn.Conv2d(32, 32, 3, padding=1), unit3=unit(), flatten=nn.Flatten(),
            hidden=nn.Linear(flat, _WIDTH), unit4=unit(),
            answers=RadialAnswers(_WIDTH, classes) if radial else nn.Linear(_WIDTH, classes),
        )
    )  # fmt: skip


def radial_units(examples: Tensor) -> nn.Sequential:
    """A hidden layer of radial units, one centred on each of these images, and linear answers."""
    units = RadialUnits(examples.flatten(1))
    return nn.Sequential(OrderedDict(flatten=nn.Flatten(), units=units, answers=nn.Linear(len(examples), CLASSES)))


class Kinds(nn.Module):
    """A network of several kinds of each class, as one of the classes: their probabilities are added."""

    def __init__(self, module: nn.Module, kinds: int) -> None:
        super().__init__()
        self.module, self.kinds = module, kinds

    def forward(self, x: Tensor) -> Tensor:
        return torch.logsumexp(self.module(x).unflatten(1, (-1, self.kinds)), dim=2)
