"""Draws the pictures of `docs/style-training.md`: `python -m docs.pictures.style_training`, some five minutes.

Needs `convscope fetch vgg16-hed`. One style is learned by instance and by batch normalization, on bundled photographs.
"""

import argparse
import tempfile
from pathlib import Path

import torch

import convscope as cs
from convscope.image.write import write_png
from convscope.render.curves import Curve, curves
from convscope.synthesis.fast_style.conditional_norm import NORMS
from convscope.synthesis.train_style import train_style

HERE = Path(__file__).parent
LEARNED_ON = ("astronaut", "chelsea", "china", "coffee", "flower", "motorcycle", "rocket")
POINTS = 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--style", default="ihc")
    parser.add_argument("--steps", type=int, default=150)
    arguments = parser.parse_args()
    network, style = cs.load("vgg16-hed"), cs.read_image(arguments.style, 192)
    lines = []

    for norm in NORMS:
        with tempfile.TemporaryDirectory() as folder:
            made = train_style(
                network, {arguments.style: style}, list(LEARNED_ON), Path(folder, "one.safetensors"), norm=norm,
                width=16, blocks=4, kernel=5, size=128, steps=arguments.steps, rate=2e-3,
            )  # fmt: skip
        total = made.curves["content"] + 5 * made.curves["style"]
        means = torch.stack([each.mean() for each in total.tensor_split(POINTS)])
        steps = torch.stack([each.mean() for each in torch.arange(1.0, len(total) + 1).tensor_split(POINTS)])
        lines.append(Curve(f"{norm} normalization", steps, means))
    chart = curves(lines, x_label="steps", y_label="loss", size=(280, 512), y_range=(0, 6))
    write_png(HERE / "style-norms.png", chart)


if __name__ == "__main__":
    main()
