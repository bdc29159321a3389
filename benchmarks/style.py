"""How long style transfer takes to come as far as a plain loop by torch's L-BFGS does, at one scale and in float32.

Both are judged by one function: 5 · the mean square of content's differences + 100 · Σ that of Gram matrices over all
C · H · W values, of VGG-16 fed values to 255, as Johnson's neural-style has it. The loop changes pixels without
bounds. It is judged both so and, as ours is, by the picture that a file holds: between black and white, in 256 levels.
"""

import argparse
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

import convscope as cs
from benchmarks.timing import print_table
from convscope.progress import Progress
from convscope.synthesis.objectives import gram
from convscope.synthesis.style_options import VGG_LAYERS

STYLES = Path(__file__).parents[2] / "shared" / "images" / "styles"
CONTENT_WEIGHT, STYLE_WEIGHT = 5.0, 100.0
LIMIT = 0.5
"""Of the loop's time."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--content", default=str(STYLES / "tubingen.jpg"), help="default: Tübingen of ../shared")
    parser.add_argument("--style", default=str(STYLES / "starry_night_google.jpg"), help="default: The Starry Night")
    parser.add_argument("--size", type=int, default=384)
    parser.add_argument("--iterations", type=int, default=500)
    parser.add_argument("--preset", action="append", help="default: fine; may be given again")
    parser.add_argument("--steps", type=int, default=180, help="of ours at each scale")
    arguments = parser.parse_args()
    arguments.preset = arguments.preset or ["fine"]
    network = cs.load("vgg16-hed")
    network.module.requires_grad_(False)
    content, style = (cs.read_image(each, arguments.size) for each in (arguments.content, arguments.style))
    loss = Loss(network, content, style)
    unbounded, held, seconds = plain(loss, content, arguments.iterations)
    print(f"{arguments.size} pixels, {torch.get_num_threads()} threads; the loop's loss is {unbounded:.4g}")
    rows = [["loop", f"{arguments.iterations}", f"{seconds:.0f} s", f"{held:.4g}", "1", "1", ""]]
    rows += [
        ours(network, loss, content, style, preset, arguments.steps, (held, unbounded), seconds)
        for preset in arguments.preset
    ]
    print_table(
        [
            "",
            "steps a scale",
            "time",
            "loss in the file",
            "time to the loop's, of its",
            "to its loss without bounds",
            "limit",
        ],
        rows,
    )


class Loss:
    """The loss of images in [0, 1] by which both are judged."""

    def __init__(self, network: cs.Network, content: Tensor, style: Tensor) -> None:
        self.network = network
        self.content = network.capture(content, VGG_LAYERS["content"])
        self.grams = {name: _gram(each) for name, each in network.capture(style, VGG_LAYERS["style"]).items()}

    def __call__(self, image: Tensor) -> Tensor:
        known = self.network.layers_for(image)
        own = {name: known[name].name for layers in VGG_LAYERS.values() for name in layers}
        _, kept = self.network.run(image[None], list(own.values()), whole=False)
        total = image.new_zeros(())
        for name, each in self.content.items():
            total = total + CONTENT_WEIGHT * (kept[own[name]][0] - each).square().mean()
        for name, each in self.grams.items():
            total = total + STYLE_WEIGHT * (_gram(kept[own[name]][0]) - each).square().mean()
        return total

    @property
    def options(self) -> Mapping[str, object]:
        """Keyword arguments of `style` by which its loss is this one."""
        (content,) = self.content.values()
        weights = {name: STYLE_WEIGHT * float(each.square().mean()) for name, each in self.grams.items()}
        return {
            "content_weight": CONTENT_WEIGHT * float(content.square().mean()),
            "style_weight": sum(weights.values()),
            "style_layers": weights,
            "tv": 0.0,
        }


def _gram(features: Tensor) -> Tensor:
    """Over all values, not over places alone."""
    return gram(features[None])[0] / len(features)


def plain(loss: Loss, content: Tensor, iterations: int) -> tuple[float, float, float]:
    """Of so many iterations of torch's L-BFGS on pixels from 0 to 255: the loss, that in the file, and the seconds.

    The least and not the last, since without a line search the loss rises now and then.
    """
    started = time.perf_counter()
    pixels = (255 * content).contiguous().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [pixels], lr=1, max_iter=iterations, max_eval=2 * iterations, history_size=100, tolerance_grad=-1,
        tolerance_change=-1,
    )  # fmt: skip

    least, best = float("inf"), content

    def closure() -> float:
        nonlocal least, best
        optimizer.zero_grad()
        value = loss(pixels / 255)
        torch.autograd.backward(value)
        if float(value.detach()) < least:
            least, best = float(value.detach()), pixels.detach().clone()
        return float(value.detach())

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    seconds = time.perf_counter() - started
    with torch.no_grad():
        return least, float(loss(best.round().clamp(0, 255) / 255)), seconds


def ours(
    network: cs.Network,
    loss: Loss,
    content: Tensor,
    style: Tensor,
    preset: str,
    steps: int,
    goals: tuple[float, float],
    seconds: float,
) -> list[str]:
    """A row of the table: how much of the loop's time it takes to each of `goals`."""
    times: list[float] = []

    def watch(progress: Progress) -> None:
        times.append(time.perf_counter() - started)

    started = time.perf_counter()
    made = cs.style(network, content, style, preset=preset, steps=steps, progress=watch, **loss.options)  # type: ignore[arg-type]
    values, last = made.values[-steps:, 0].neg().tolist(), times[-steps:]
    shares = []
    for goal in goals:
        reached = [at for at, value in zip(last, values, strict=True) if value <= goal]
        shares.append(f"{reached[0] / seconds:.2f}" if reached else "not reached")
    return [preset, f"{steps}", f"{times[-1]:.0f} s", f"{float(loss(made.image)):.4g}", *shares, f"{LIMIT}"]


if __name__ == "__main__":
    main()
