"""Draws the pictures of `docs/why-this-answer.md`: `python -m docs.pictures.why_this_answer`.

`explanation.png` is made by the command that the page shows.
"""

from pathlib import Path

import convscope as cs

HERE = Path(__file__).parent


def main() -> None:
    network = cs.load("efficientnet-lite0")
    image = network.read("coffee")
    occluded = cs.occlusion(network, image, "espresso", window=56, stride=8)
    occluded.save(HERE / "probability.png", style="probability")
    cam = cs.grad_cam(network, image, "espresso")
    cs.faithfulness(network, image, cam).save(HERE / "faithfulness.png")
    guided = cs.saliency(network, image, "espresso", rule="guided")
    cs.randomization(network, guided, stages=4).save(HERE / "randomization.png")
    cs.segment(image, cam).save(HERE / "object.png", style="beside")


if __name__ == "__main__":
    main()
