"""Draws the pictures of `docs/linear.md`: `python -m docs.pictures.linear`, about a minute."""

from pathlib import Path

import torch
from torch import Tensor

import convscope as cs

HERE = Path(__file__).parent
NAMES = ("astronaut", "chelsea", "china", "coffee", "flower", "motorcycle", "retina", "rocket")


def pieces(count: int = 40, side: int = 96) -> tuple[list[Tensor], list[str]]:
    """Pieces of eight bundled photographs; the class of each is the photograph it is from."""
    draws = torch.Generator().manual_seed(0)
    images, labels = [], []
    for name in NAMES:
        photograph = cs.read_image(name, 200)
        for _ in range(count):
            top, left = (int(torch.randint(whole - side + 1, (1,), generator=draws)) for whole in photograph.shape[1:])
            images.append(photograph[:, top : top + side, left : left + side].contiguous())
            labels.append(name)
    return images, labels


def main() -> None:
    cs.linear_example().save(HERE / "linear-example.png")
    cs.linear_table().save(HERE / "linear-table.png")
    cs.linear_classifier("digits").save(HERE / "linear-digits.png")
    images, labels = pieces()
    compared = cs.compare_regularization(images, "coffee", labels=labels, size=48)
    compared.save(HERE / "linear-compared.png")


if __name__ == "__main__":
    main()
