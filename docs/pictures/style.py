"""Draws the pictures of `docs/style.md`: `python -m docs.pictures.style`, some five minutes on two cores.

Needs `convscope fetch vgg16-hed`.
"""

from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

import convscope as cs
from convscope.image.write import to_picture, write_png
from convscope.render.grid import grid, rows
from convscope.synthesis.style import style

HERE = Path(__file__).parent
SIDE, STEPS, WEIGHT = 192, 30, 3.0
STYLES = ("ihc", "hubble", "gravel")


def main() -> None:
    network, content = cs.load("vgg16-hed"), cs.read_image("china", SIDE)
    examples = {name: cs.read_image(name, SIDE) for name in STYLES}
    tissue = examples["ihc"]

    def made(styles: Tensor | list[Tensor] = tissue, **options: Any) -> Image.Image:
        return to_picture(style(network, content, styles, **{"style_weight": WEIGHT, "steps": STEPS, **options}).image)

    plain = {name: made(each) for name, each in examples.items()}
    shown = [_cut(to_picture(each), plain["ihc"].size) for each in examples.values()]
    figure = [("", [to_picture(content), *plain.values()])]
    write_png(HERE / "style.png", rows([("", [_empty(plain["ihc"].size), *shown]), *figure]))
    weights = [made(style_weight=0.5), plain["ihc"], made(style_weight=20)]
    write_png(HERE / "style-weights.png", grid(weights, labels=["style_weight=0.5", "3", "20"], columns=3))
    others = ("moments", "covariance", "wasserstein")
    statistics = [plain["ihc"], *(made(statistics=name) for name in others)]
    write_png(HERE / "style-statistics.png", grid(statistics, labels=["gram", *others], columns=4))
    left = torch.linspace(5.5, -4.5, content.shape[2]).clamp(0, 1).expand(content.shape[1:])
    options = {
        'colour="luminance"': made(colour="luminance"),
        "masks: ihc and hubble": made([tissue, examples["hubble"]], masks=[left, 1 - left]),
        'pooling="average"': made(pooling="average"),
        'dream="relu5_1"': made(dream="relu5_1"),
    }
    write_png(HERE / "style-options.png", grid(list(options.values()), labels=list(options), columns=2))
    lite0 = [
        to_picture(style(cs.load("efficientnet-lite0"), content, examples[name], style_weight=WEIGHT, steps=60).image)
        for name in ("ihc", "hubble")
    ]
    networks = [("vgg16-hed", [plain["ihc"], plain["hubble"]]), ("efficientnet-lite0", lite0)]
    write_png(HERE / "style-networks.png", rows(networks, column_labels=["ihc", "hubble"]))


def _cut(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The middle of a style, of the result's size, on white where it is smaller."""
    sheet = _empty(size)
    sheet.paste(picture, ((size[0] - picture.width) // 2, (size[1] - picture.height) // 2))
    return sheet


def _empty(size: tuple[int, int]) -> Image.Image:
    return Image.new("RGB", size, "white")


if __name__ == "__main__":
    main()
