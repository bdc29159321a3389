"""Draws the pictures of `docs/dreams.md`: `python -m docs.pictures.dreams`."""

import tempfile
from pathlib import Path

from PIL import Image

import convscope as cs
from convscope.image.film import open_film
from convscope.image.write import to_picture
from convscope.render.grid import grid
from convscope.synthesis.dream import dream
from convscope.synthesis.zoom_dream import zoom_dream

HERE = Path(__file__).parent
WIDTH = 256
LAYERS = "blocks.0", "blocks.2", "blocks.4", "blocks.8", "blocks.10", "blocks.12"


def main() -> None:
    network = cs.load("efficientnet-lite0")
    cat, tower = cs.read_image("chelsea", WIDTH), cs.read_image("china", WIDTH)
    _write("dream-depth", [dream(network, cat, layer).picture() for layer in LAYERS], list(LAYERS), 3)
    counts = (2, 5, 10, 20)
    pictures = [dream(network, cat, steps=steps).picture() for steps in counts]
    _write("dream-steps", pictures, [f"{steps} steps on each octave" for steps in counts], 2)
    guides = [cs.read_image(name, WIDTH) for name in ("flower", "chelsea")]
    guided = [dream(network, tower, "blocks.8", guide=guide).picture() for guide in guides]
    _write("dream-guided", [dream(network, tower, "blocks.8").picture(), *guided],
           ["blocks.8 by itself", "guided by flower", "guided by chelsea"], 3)  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        zoom_dream(network, cat, frames=25, out=f"{folder}/fall")
        frames = [to_picture(each) for each in open_film(f"{folder}/fall")]
    shown = (1, 5, 9, 13, 19, 25)
    _write("dream-zoom", [frames[number - 1] for number in shown], [f"frame {number}" for number in shown], 3)


def _write(name: str, pictures: list[Image.Image], labels: list[str], columns: int) -> None:
    """With few colours, since what dreams are full of makes files large."""
    sheet = grid(pictures, labels=labels, columns=columns)
    sheet.quantize(200).save(HERE / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
