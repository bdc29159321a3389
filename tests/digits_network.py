"""A small network of the ten digits, trained where it is first asked for, and digits that it was not trained on."""

import functools
from collections import OrderedDict
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import convscope as cs

SEEN = 1200


@dataclass(frozen=True)
class Digits:
    """The network, and images `(N, 1, 16, 16)` with their `labels` `(N,)`."""

    network: cs.Network
    images: Tensor
    labels: Tensor


@functools.cache
def digits_network(seed: int = 0) -> Digits:
    """Three convolutions and two linear layers; right for about 98 of 100 digits after a few seconds."""
    from sklearn.datasets import load_digits

    loaded = load_digits()
    images = F.interpolate(torch.from_numpy(loaded.images).float()[:, None] / 16, size=16, mode="bilinear")
    labels = torch.from_numpy(loaded.target).long()
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        shuffled = torch.randperm(len(images))
        images, labels = images[shuffled], labels[shuffled]
        module = nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(1, 12, 3, padding=1), relu1=nn.ReLU(), pool1=nn.MaxPool2d(2),
                conv2=nn.Conv2d(12, 24, 3, padding=1), relu2=nn.ReLU(), pool2=nn.MaxPool2d(2),
                conv3=nn.Conv2d(24, 48, 3, padding=1), relu3=nn.ReLU(),
                flatten=nn.Flatten(), fc1=nn.Linear(48 * 16, 64), relu4=nn.ReLU(), fc2=nn.Linear(64, 10),
            )
        )  # fmt: skip
        optimizer = torch.optim.Adam(module.parameters(), lr=2e-3)
        for _ in range(12):
            for batch in torch.split(torch.randperm(SEEN), 64):
                optimizer.zero_grad()
                torch.autograd.backward(F.cross_entropy(module(images[batch]), labels[batch]))
                optimizer.step()
    network = cs.Network(module, input_size=16, channels=1, fit="resize", labels=[str(digit) for digit in range(10)])
    return Digits(network, images[SEEN:], labels[SEEN:])
