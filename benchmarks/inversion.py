"""How near inversions come in 300 steps, in code and in pixels, over the stages of networks."""

import convscope as cs
from benchmarks.timing import print_table
from convscope.image.resize import fit_image
from convscope.network.stages import stage_ends
from convscope.network.zoo.fetching import is_fetched
from convscope.synthesis.invert import invert

PHOTOGRAPHS = ("chelsea", "coffee", "astronaut")
STEPS = 300
SIDE = 112
"""Of what is shown to VGG-16, as in the reference recipe."""
GOALS = {("vgg16-hed", "relu3_3"): "code error 0.12 at most", ("vgg16-hed", "relu1_2"): "correlation 0.8 at least"}


def main() -> None:
    networks = {"efficientnet-lite0": stage_ends(cs.load("efficientnet-lite0"))}
    if is_fetched("vgg16-hed"):
        networks["vgg16-hed"] = ["relu1_2", "relu2_2", "relu3_3"]
    else:
        print("vgg16-hed is left out: convscope fetch vgg16-hed")
    rows = [row for name, layers in networks.items() for row in _rows(name, layers)]
    columns = ["network and layer", *(f"{name} {what}" for name in PHOTOGRAPHS for what in ("code", "pixels")), "goal"]
    print_table(columns, rows)


def _rows(name: str, layers: list[str]) -> list[list[str]]:
    network = cs.load(name)
    vgg = name == "vgg16-hed"
    read = [fit_image(cs.read_image(each), (SIDE, SIDE), fit="crop") if vgg else network.read(each)
            for each in PHOTOGRAPHS]  # fmt: skip
    rows = []
    for layer in layers:
        made = [invert(network, image, layer, steps=STEPS) for image in read]
        figures = [f"{float(value):.3f}" for one in made for value in (one.code_errors, one.correlations)]
        rows.append([f"{name} {layer}", *figures, GOALS.get((name, layer), "")])
    return rows


if __name__ == "__main__":
    main()
