"""Draws the pictures of `docs/textures.md`: `python -m docs.pictures.textures`, some ten minutes on two cores.

Needs `convscope fetch vgg16-hed`.
"""

from pathlib import Path

import convscope as cs
from convscope.image.write import to_picture, write_png
from convscope.render.grid import rows
from convscope.synthesis.texture import VGG_LAYERS, texture

HERE = Path(__file__).parent
SIDE = 128


def main() -> None:
    network = cs.load("vgg16-hed")
    figure = []
    for name in ("brick", "coffee"):
        example = cs.read_image(name, 2 * SIDE)[:, :SIDE, -SIDE:]
        example = cs.read_image(name, SIDE) if name == "coffee" else example
        made = [texture(network, example, depth=depth, size=SIDE, steps=80) for depth in range(1, len(VGG_LAYERS) + 1)]
        figure.append((name, [to_picture(example), *(to_picture(each.image) for each in made)]))
    labels = ["example", VGG_LAYERS[0], *(f"… and {name}" for name in VGG_LAYERS[1:])]
    write_png(HERE / "textures-depth.png", rows(figure, column_labels=labels))


if __name__ == "__main__":
    main()
