"""Draws the pictures of `docs/preferred-images.md`: `python -m docs.pictures.preferred_images [NAME…]`.

Facets are of pieces of the bundled photographs, which are few, but everybody has them. The picture of a generator is
drawn by `docs.pictures.decoder`.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

import convscope as cs
from convscope.image.write import to_picture
from convscope.plates.facets import facets
from convscope.plates.pieces import write_pieces
from convscope.plates.preferred import preferred
from convscope.render.grid import grid
from convscope.render.grid import rows as table

HERE = Path(__file__).parent
CLASSES = ["flamingo", "daisy", "balloon", "ostrich", "king penguin", "volcano"]
STAGES = ["blocks.0", "blocks.2", "blocks.4", "blocks.10", "head.norm"]
SHOWN = 128


def classes(network: cs.Network) -> None:
    made = cs.maximize(network, CLASSES, size=SHOWN + 64)
    labels = [f"{name}, {each:.0%}" for name, each in zip(CLASSES, made.probabilities.tolist(), strict=True)]
    _write(grid([to_picture(each) for each in made.images], labels=labels, columns=3), "classes")


def presets(network: cs.Network) -> None:
    names = ("simonyan", "yosinski", "lucid", "maco")
    images = [cs.maximize(network, "flamingo", preset=name).image for name in names]
    _write(grid([to_picture(each) for each in images], labels=names, columns=4, cell=168), "presets")


def regularizers(network: cs.Network) -> None:
    """One class under no blur and more and more of it (L33)."""
    sigmas = {"blur.sigma": [0, 0.5, 1, 2]}
    sheet = cs.sheet("maximize", network, grid=sigmas, target="flamingo", preset="yosinski", steps=200)
    _write(sheet.picture(cell=168), "regularizers")


def starts(network: cs.Network) -> None:
    """A channel from four random starts, alone and told to differ."""
    ways = {"by themselves": 0.0, "diverse": 1.0}
    rows = []
    for name, diverse in ways.items():
        images = cs.maximize(network, "blocks.10:42", count=4, size=SHOWN, steps=128, diverse=diverse).images
        rows.append((name, [to_picture(each) for each in images]))
    _write(table(rows), "diverse")


def plate(network: cs.Network) -> None:
    _write(preferred(network, STAGES, channels=5, classes=CLASSES[:5], steps=160).picture(), "plate")


def kinds(network: cs.Network) -> None:
    with TemporaryDirectory() as folder:
        write_pieces(Path(folder))
        _write(facets(network, "jellyfish", folder, facets=2, top=20, steps=200).picture(), "facets")


def _write(picture: Image.Image, name: str) -> None:
    """With 256 colours: a third of the bytes, and hardly to be seen in pictures so full of detail."""
    picture.quantize(256).save(HERE / f"preferred-{name}.png", optimize=True)


def main() -> None:
    drawn: list[Callable[[cs.Network], None]] = [classes, presets, regularizers, starts, plate, kinds]
    network = cs.load("efficientnet-lite0")
    for draw in drawn:
        if draw.__name__ in (sys.argv[1:] or [draw.__name__]):
            draw(network)


if __name__ == "__main__":
    main()
