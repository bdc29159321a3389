"""Draws the pictures of `docs/fooling-images.md`: `python -m docs.pictures.fooling_images`, minutes on two cores."""

from pathlib import Path

import convscope as cs

HERE = Path(__file__).parent
CLASSES = ("cheetah", "bagel", "ambulance", "jellyfish", "accordion", "goldfish", "strawberry", "peacock")
EVALUATIONS = 3000


def main() -> None:
    network = cs.load("efficientnet-lite0")
    cs.fool(network, CLASSES).save(HERE / "fooled-noise.png", columns=4)
    photograph = network.read("chelsea")
    cs.fool(network, "random", start=photograph, seed=1).save(HERE / "fooled-photograph.png", beside=True)
    evolved = cs.evolve(network, encoding="cppn", evaluations=EVALUATIONS, engine="onnx")
    evolved.save(HERE / "evolved-patterns.png", cell=160, columns=6)
    evolved.save(HERE / "evolved-curve.png", style="curve")
    pixels = cs.evolve(network, encoding="direct", evaluations=EVALUATIONS // 3, engine="onnx")
    pixels.save(HERE / "evolved-pixels.png", cell=160, columns=6, most=6)


if __name__ == "__main__":
    main()
