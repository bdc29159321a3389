"""Draws the picture of `docs/attacks.md`: `python -m docs.pictures.attacks`."""

from pathlib import Path

import convscope as cs

HERE = Path(__file__).parent


def main() -> None:
    network = cs.load("efficientnet-lite0")
    images = [network.read(name) for name in ("chelsea", "coffee", "rocket")]
    figure = cs.pgd(network, images, target="ostrich", epsilon=2 / 255).picture(figure=True)
    # With few colours, since differences are noise, which makes files large.
    figure.quantize(200).save(HERE / "attacks.png", optimize=True)


if __name__ == "__main__":
    main()
