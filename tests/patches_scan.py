"""A little scan to draw plates of: a small network over pieces of a bundled photograph."""

from pathlib import Path

import torch
from torch import nn

import convscope as cs
from convscope.image.write import to_picture
from convscope.scanning.scan import scan
from convscope.scanning.stored import Scan


def pieces_scan(folder: Path) -> Scan:
    """Ten pieces of a photograph under `folder`, seen by three layers; no rectifier lies below the first.

    The second channel of "1" never answers.
    """
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 5, 3, 2, 1), nn.ReLU())
    convolution = module[0]
    assert isinstance(convolution, nn.Conv2d)
    assert convolution.bias is not None
    convolution.bias.data[1] = -100
    network = cs.Network(module, input_size=32, head="none", name="little")
    photograph = cs.read_image("chelsea")
    pictures = folder / "pictures"
    pictures.mkdir()
    for number in range(10):
        piece = photograph[:, 20 * number : 20 * number + 60, 30 * number : 30 * number + 80]
        to_picture(piece).save(pictures / f"{number}.png")
    return scan(network, pictures, layers=["0", "1", "2"], out=folder / "little.scan", engine="torch", workers=0)
