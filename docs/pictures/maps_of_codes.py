"""Draws the pictures of `docs/maps-of-codes.md`: `python -m docs.pictures.maps_of_codes`."""

from collections import OrderedDict
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

import convscope as cs
from convscope.image.bundled import PHOTOGRAPHS
from convscope.image.write import to_picture
from convscope.render.curves import Curve, curves
from convscope.scanning.neighbourhood import knn_accuracy

HERE = Path(__file__).parent
CROPS = 14


def main() -> None:
    with TemporaryDirectory() as folder:
        photographs(Path(folder))
        digits(Path(folder))


def photographs(folder: Path) -> None:
    """Square parts of the bundled photographs, mapped by a network that knows a thousand things."""
    random = np.random.default_rng(0)
    for name in PHOTOGRAPHS:
        image = cs.read_image(name, size=640)
        (folder / "parts" / name).mkdir(parents=True)
        for at in range(CROPS):
            to_picture(_part(image, random)).save(folder / "parts" / name / f"{at:02}.png")
    found = cs.scan(cs.load("efficientnet-lite0"), folder / "parts", layers=["flatten"], out=folder / "parts.scan")
    found.map(colour=None).save(HERE / "map-scatter.png", size=1400)
    found.map(layout="grid").save(HERE / "map-grid.png", size=760)


def _part(image: Tensor, random: np.random.Generator) -> Tensor:
    side = int(random.integers(90, min(280, *image.shape[-2:])))
    top, left = (int(random.integers(0, extent - side + 1)) for extent in image.shape[-2:])
    return image[:, top : top + side, left : left + side]


def digits(folder: Path) -> None:
    """Digits that a small network was not trained on, and how well each of its layers tells them apart."""
    network, images, labels = trained()
    found = cs.scan(network, list(zip(images, labels.tolist(), strict=True)), out=folder / "digits.scan")
    mapped = found.map()
    mapped.save(HERE / "map-digits.png", size=900, dots=True)
    kinds = found.images.classes.tolist()
    layers = list(found.layers)
    accuracies = [knn_accuracy(found.codes(layer), kinds, normalize=True) for layer in layers]
    chart = curves(
        [Curve("5 nearest neighbours agree on the digit", range(len(layers)), accuracies)],
        x_ticks=[*enumerate(layers)],
        y_label="share of digits",
        size=(240, 420),
        y_range=(0, 1),
    )
    chart.save(HERE / "map-depth.png")


def trained() -> tuple[cs.Network, Tensor, Tensor]:
    """The network, images and labels that it hasn't seen: as on the page."""
    loaded = load_digits()
    images = F.interpolate(torch.from_numpy(loaded.images).float()[:, None] / 16, size=16, mode="bilinear")
    labels = torch.from_numpy(loaded.target).long()
    torch.manual_seed(0)
    order = torch.randperm(len(images))
    images, labels = images[order], labels[order]
    layers = OrderedDict(
        conv1=nn.Conv2d(1, 12, 3, padding=1), relu1=nn.ReLU(), pool1=nn.MaxPool2d(2),
        conv2=nn.Conv2d(12, 24, 3, padding=1), relu2=nn.ReLU(), pool2=nn.MaxPool2d(2),
        conv3=nn.Conv2d(24, 48, 3, padding=1), relu3=nn.ReLU(),
        flatten=nn.Flatten(), fc1=nn.Linear(48 * 16, 64), relu4=nn.ReLU(), fc2=nn.Linear(64, 10),
    )  # fmt: skip
    module = nn.Sequential(layers)
    optimizer = torch.optim.Adam(module.parameters(), lr=2e-3)
    for _ in range(12):
        for batch in torch.split(torch.randperm(1200), 64):
            optimizer.zero_grad()
            torch.autograd.backward(F.cross_entropy(module(images[batch]), labels[batch]))
            optimizer.step()
    names = [str(digit) for digit in range(10)]
    return cs.Network(module, input_size=16, channels=1, fit="resize", labels=names), images[1200:], labels[1200:]


if __name__ == "__main__":
    main()
