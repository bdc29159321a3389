"""A tiny network with known weights and a folder of tiny pictures, for what is done many times over.

Run as a program it scans them, `python -m tests.scanning.little FOLDER OUT`, and says when it begins.
"""

import sys
from pathlib import Path

import torch
from torch import nn

import convscope as cs
from convscope.image.write import to_picture
from convscope.scanning import scan as scanning

SHARD = 8


def little_network(seed: int = 0) -> cs.Network:
    """Two convolutions and a linear layer for images of 24×24."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = nn.Sequential(
            nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(6, 10, 3, padding=1), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(10, 7),
        )  # fmt: skip
    return cs.Network(module, input_size=24, fit="resize", labels=[f"class {index}" for index in range(7)])


def little_pictures(folder: Path, count: int, *, first: int = 0) -> Path:
    """So many pictures of noise, each another, in two folders that name their classes."""
    for at in range(first, first + count):
        image = torch.rand(3, 5, 6, generator=torch.Generator().manual_seed(at))
        path = folder / f"class {at % 2}" / f"{at:05}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        to_picture(image).resize((30, 25)).save(path)
    return folder


def scan_little(folder: Path, out: Path, **options: object) -> cs.Scan:
    """The scan of them in shards of eight pictures, by torch."""
    usual = scanning._SHARD
    scanning._SHARD = SHARD
    try:
        return cs.scan(little_network(), folder, out=out, **{"engine": "torch", "workers": 0, **options})  # type: ignore[arg-type]
    finally:
        scanning._SHARD = usual


if __name__ == "__main__":
    torch.set_num_threads(1)
    network = little_network()
    network.predict(torch.zeros(3, 24, 24))
    print("begins", flush=True)  # noqa: T201
    scan_little(Path(sys.argv[1]), Path(sys.argv[2]), **dict(pair.split("=") for pair in sys.argv[3:]))
