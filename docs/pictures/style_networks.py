"""Draws the pictures of `docs/style-networks.md` and prints its figures: `python -m docs.pictures.style_networks`.

Some ten minutes on two cores. Needs `convscope fetch vgg16-hed`, and two paintings beside the project, both long in
the public domain: The Starry Night (van Gogh, 1889) and The Shipwreck of the Minotaur (Turner, about 1810).
"""

import sys
import time
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

import convscope as cs
from convscope.image.write import to_picture, write_png
from convscope.network.zoo.vgg16_hed import VGG16Features, normalize
from convscope.render.grid import rows
from convscope.synthesis.objectives.smoothing import smoothed
from convscope.synthesis.style import style
from convscope.synthesis.style_loss import Plan, StyleLoss
from convscope.synthesis.style_options import layer_weights

HERE = Path(__file__).parent
PAINTINGS = HERE.parents[2] / "shared" / "images" / "styles"
STYLES = {"The Starry Night": "starry_night_google.jpg", "The Shipwreck": "shipwreck.jpg"}
SIDE, STEPS = 192, 25


def main() -> None:
    content = cs.read_image("chelsea", SIDE)
    paintings = {name: cs.read_image(str(PAINTINGS / file), SIDE) for name, file in STYLES.items()}
    vgg, lite = cs.load("vgg16-hed"), cs.load("efficientnet-lite0")
    networks = {
        "lite0": (lite, False),
        "lite0, smoothed": (lite, True),
        "vgg16-hed": (vgg, False),
        "VGG-16, random": (random_vgg(), False),
    }
    judges = {name: StyleLoss(vgg, usual(vgg), content, [each], None) for name, each in paintings.items()}
    figure = [("", [to_picture(content), *(_cut(to_picture(each), content) for each in paintings.values())])]
    for label, (network, smoothing) in networks.items():
        made = [to_picture(content)]
        for name, painting in paintings.items():
            started = time.perf_counter()
            result = style(network, content, painting, steps=STEPS, smoothing=smoothing)
            seconds = time.perf_counter() - started
            judges[name].measure(result.image[None])
            own, seen = result.losses, judges[name].terms
            first = float(result.curves[-1].style[0])
            say(
                f"{label:16} {name:16} {seconds:4.0f} s  own: content {own['content']:.2f} style {own['style']:.3f} "
                f"(from {first:.3f})  vgg16-hed: content {seen['content']:.2f} style {seen['style']:.3f}"
            )
            made.append(to_picture(result.image))
        figure.append((label, [_empty(made[0]), *made[1:]]))
    write_png(HERE / "style-smoothing.png", rows(figure, column_labels=["", *paintings]))
    for label, network in (("vgg16-hed", vgg), ("lite0", lite)):
        for name in layer_weights(network, "style", None):
            say(" ".join([label, name, *peaks(network.capture(content, [name])[name])]))


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def random_vgg() -> cs.Network:
    """VGG-16's convolutions as He's initialization makes them, without biases."""
    torch.manual_seed(0)
    module = VGG16Features()
    for each in module.modules():
        if isinstance(each, nn.Conv2d):
            nn.init.kaiming_normal_(each.weight, nonlinearity="relu")
            nn.init.zeros_(each.bias)  # type: ignore[arg-type]
    return cs.Network(module, normalize=normalize, head="none", name="VGG-16, random")


def usual(network: cs.Network) -> Plan:
    """The style by which results of all networks are judged."""
    layers = {f"{of}_layers": layer_weights(network, of, None) for of in ("content", "style")}
    return Plan(
        **layers, weights=(1.0,), content_weight=1.0, style_weight=10.0, tv=1.0, dream=None, dream_weight=0.0,
        statistics="gram", style_scale=1.0, colour="style",
    )  # fmt: skip


def peaks(features: Tensor) -> tuple[str, str]:
    """What the largest hundredth of values has of all squares, and the largest value of the softmax."""
    squares = features.square().flatten().sort(descending=True).values
    share = float(squares[: len(squares) // 100].sum() / squares.sum())
    largest = float(smoothed(features[None]).max()) / features.numel()
    return f"largest hundredth: {share:.0%} of squares", f"largest share after softmax: {largest:.2g}"


def _cut(picture: Image.Image, content: Tensor) -> Image.Image:
    """A painting of the content's size, on white where it is smaller."""
    sheet = _empty(to_picture(content))
    sheet.paste(picture, ((sheet.width - picture.width) // 2, (sheet.height - picture.height) // 2))
    return sheet


def _empty(like: Image.Image) -> Image.Image:
    return Image.new("RGB", like.size, "white")


if __name__ == "__main__":
    main()
