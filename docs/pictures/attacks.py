"""Draws the picture of `docs/attacks.md`: `python -m docs.pictures.attacks`."""

from pathlib import Path

import convscope as cs

HERE = Path(__file__).parent


def main() -> None:
    network = cs.load("efficientnet-lite0")
    images = [network.read(name) for name in ("chelsea", "coffee", "rocket")]
    figure = cs.pgd(network, images, target="ostrich", epsilon=2 / 255).picture(figure=True)
    # Differences are noise, of which PNG makes a megabyte. What is exact is the file that an attack saves, not this.
    figure.convert("RGB").save(HERE / "attacks.jpg", quality=85, optimize=True)


if __name__ == "__main__":
    main()
