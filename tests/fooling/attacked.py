"""Small networks to attack, in double precision, and how each attack is called on them."""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import convscope as cs
from convscope.fooling.adversarial import Adversarial

CLASSES = 4
SIDE = 6


@functools.cache
def affine(seed: int = 0, *, bias: float = 0.0) -> cs.Network:
    """Logits that are linear in the pixels; with a large negative bias all of them are negative."""
    generator = torch.Generator().manual_seed(seed)
    layer = nn.Linear(3 * SIDE**2, CLASSES).double()
    with torch.no_grad():
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator, dtype=torch.float64))
        layer.bias.copy_(bias - layer.weight.sum(dim=1) / 2)
    return cs.Network(nn.Sequential(nn.Flatten(), layer), input_size=SIDE)


@functools.cache
def curved(seed: int = 1) -> cs.Network:
    """Two convolutions with batch norm, and labels; normalization within."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Tanh(),
            nn.Flatten(), nn.Linear(8 * (SIDE - 2) ** 2, CLASSES),
        )  # fmt: skip
        return cs.Network(
            module.double().eval(), input_size=SIDE, mean=(0.4, 0.5, 0.6), std=(0.2,) * 3, labels=["a", "b", "c", "d"]
        )


def pictures(count: int = 4, seed: int = 0, side: int = SIDE) -> Tensor:
    """Random images `(N, 3, side, side)` in double precision."""
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


Attack = Callable[..., Adversarial]
IN_BALLS: dict[str, tuple[Attack, dict[str, Any]]] = {
    "fgsm": (cs.fgsm, {}),
    "bim": (cs.bim, {"steps": 8}),
    "pgd": (cs.pgd, {"steps": 6, "step": 0.1}),
    "universal": (cs.universal, {"steps": 4, "batch": 2}),
}
SMALLEST: dict[str, tuple[Attack, dict[str, Any]]] = {
    "deep_fool": (cs.deep_fool, {}),
    "carlini_wagner": (cs.carlini_wagner, {"searches": 6, "steps": 60, "rate": 0.05}),
    "box_lbfgs": (cs.box_lbfgs, {"searches": 5, "steps": 10}),
}
ALONE = {**{name: each for name, each in IN_BALLS.items() if name != "universal"}, **SMALLEST}
"""Attacks that treat each image by itself."""


def targets_of(network: cs.Network, images: Tensor) -> list[int]:
    """For each image a class that it is not."""
    return [(each[0].index + 1) % CLASSES for each in network.predict(images, top=1)]
