"""What the loop of synthesis adds to the passes through the network, and what it makes of ImageNet's classes.

A step of `maximize` with its default preset against one forward and one backward pass of the same batch, through the
same network folded and channels last, and through the module as it is. The passes are timed between the steps, so that
a busy spell of the machine falls on both.

`python -m benchmarks.synthesis --classes 100` also makes an image of so many random classes, and asks this network and
another, for which it was not made, what the files show.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

import convscope as cs
from benchmarks import copying, dream, inversion
from benchmarks.timing import Timing, milliseconds, print_table
from convscope.network.differentiable import Differentiable

STEPS = 20
STEP_LIMIT, EAGER_LIMIT = 1.15, 0.65
SURE = 0.99


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--classes", type=int, default=0, help="make images of so many random classes")
    parser.add_argument("--steps-only", action="store_true", help="leave out inversion, dreams and textures")
    arguments = parser.parse_args()
    lite0 = cs.load("efficientnet-lite0")
    rows = step_rows(lite0, batch=4, side=224, target="class:207")
    try:
        rows += step_rows(cs.load("vgg16-hed"), batch=1, side=320, target="relu5_3:12")
    except cs.ConvscopeError as error:
        print(f"vgg16-hed is left out: {error}")
    print(f"a step of maximize, {torch.get_num_threads()} threads; median times; median of the steps' ratios")
    print_table(["", "step", "passes", "ratio", "of minima", "limit"], rows)
    if arguments.classes:
        of_classes(lite0, cs.load("efficientnet-lite1"), arguments.classes)
    if not arguments.steps_only:
        print()
        inversion.main()
        print()
        dream.main(["--brief"])
        print()
        copying.main()


def step_rows(network: cs.Network, *, batch: int, side: int, target: str) -> list[list[str]]:
    """The rows of one network's table."""
    network.module.requires_grad_(False)
    asked = network.target(target)
    images = torch.rand(batch, network.channels, side, side)
    lean = Differentiable(network, (network.channels, side, side), layers=asked.layers, whole=asked.needs_output)

    def folded() -> Tensor:
        own = images.clone().contiguous(memory_format=torch.channels_last).requires_grad_()
        return torch.autograd.grad(lean(own).score(asked).sum(), own)[0]

    def eager() -> Tensor:
        own = images.clone().requires_grad_()
        output = network.module(network.normalize(own))
        score = asked.score(output, {}) if asked.needs_output else output.mean()
        return torch.autograd.grad(score.sum(), own)[0]

    passes = [folded, eager] if asked.needs_output else [folded]
    step, *others = timed_steps(network, target, batch, side, passes)
    names = ["folded, channels last", "the module as it is"]
    return [
        [
            f"{network.name}, {batch} of {side} × {side}, against {name}",
            milliseconds(step.median),
            milliseconds(other.median),
            f"{step.ratio(other):.2f}",
            f"{step.least_ratio(other):.2f}",
            f"{limit:.2f}",
        ]
        for name, other, limit in zip(names, others, (STEP_LIMIT, EAGER_LIMIT), strict=False)
    ]


def timed_steps(
    network: cs.Network, target: str, batch: int, side: int, passes: list[Callable[[], Tensor]]
) -> list[Timing]:
    """The steps of one climb, and what is run between them."""
    times: list[list[float]] = [[] for _ in range(1 + len(passes))]
    resumed = time.perf_counter()

    def watch(progress: cs.Progress) -> None:
        nonlocal resumed
        times[0].append(time.perf_counter() - resumed)
        for own, run in zip(times[1:], passes, strict=True):
            start = time.perf_counter()
            run()
            own.append(time.perf_counter() - start)
        resumed = time.perf_counter()

    cs.maximize(network, target, count=batch, batch=batch, size=side, steps=STEPS + 3, progress=watch)
    return [Timing(tuple(each[3:])) for each in times]


def of_classes(network: cs.Network, other: cs.Network, count: int) -> None:
    """Images of random classes, written and read again: what both networks answer."""
    classes = random.Random(0).sample(range(1000), count)
    start = time.perf_counter()
    result = cs.maximize(network, [f"class:{index}" for index in classes])
    seconds = time.perf_counter() - start
    sure = first = 0
    with tempfile.TemporaryDirectory() as folder:
        for index, number in enumerate(classes):
            file = Path(folder, f"{number}.png")
            result.save(file, which=index)
            best = network.predict(network.read(file), top=1)[0]
            sure += best.index == number and best.probability >= SURE
            first += other.predict(other.read(file), top=1)[0].index == number
    print(
        f"{count} random classes, {len(result.values)} steps, {seconds / count:.1f} s an image: {sure} at least "
        f"{SURE} sure when read again (expected {0.95 * count:.0f}); {other.name} ranks {first} first "
        f"(expected {0.9 * count:.0f})"
    )


if __name__ == "__main__":
    main()
