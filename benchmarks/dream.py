"""How long dreams take beside a loop written straight from Google's recipe, and the memory that a large one needs.

The loop runs the module as it is, in float32, its weights frozen, and a hook stops it at the layer as Caffe's
`forward(end=…)` did. Both go through the same octaves, steps and rolls.
"""

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

import convscope as cs
from benchmarks.timing import interleaved, print_table
from convscope.image.resize import resize
from convscope.synthesis.dream import dream

LAYER, OCTAVES, SCALE, STEPS, JITTER, RATE = "blocks.10", 4, 1.4, 10, 32, 1.5 / 255
SIZE, LARGE = (768, 1024), (3000, 4000)
LIMIT = 3.0
"""Gigabytes for a dream of 4000 × 3000, network and picture included."""


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--large-steps", type=int, default=STEPS, help="steps on each octave of the large picture")
    parser.add_argument(
        "--peak", action="store_true", help="only dream of the large picture, and print the peak memory"
    )
    parser.add_argument("--brief", action="store_true", help="only the comparison")
    arguments = parser.parse_args(given)
    if arguments.peak:
        _print_peak(arguments.large_steps)
        return
    network = cs.load("efficientnet-lite0")
    image = resize(cs.read_image("china"), SIZE)
    began = time.perf_counter()
    dream(network, image, LAYER)
    first = time.perf_counter() - began
    own, google = interleaved(
        lambda: dream(network, image, LAYER),
        lambda: googles(network, image),
        repetitions=arguments.repetitions,
        warm_up=0,
    )
    print(f"{torch.get_num_threads()} threads, 1024 × 768, {OCTAVES} octaves × {STEPS} steps, {LAYER}")
    rows = [
        ["Google's recipe, eager with a hook", f"{google.median:.1f} s", ""],
        ["convscope", f"{own.median:.1f} s", f"{own.ratio(google):.2f}"],
        ["the first of its size, which is traced", f"{first:.1f} s", f"{first / google.median:.2f}"],
    ]
    print_table(["", "median", "of the loop"], rows)
    if arguments.brief:
        return
    command = [sys.executable, "-m", "benchmarks.dream", "--peak", "--large-steps", str(arguments.large_steps)]
    print(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip())


def googles(network: cs.Network, image: Tensor) -> Tensor:
    """The loop of 2015 in today's words."""
    module = network.module.eval().requires_grad_(False)
    draw = Generator().manual_seed(0)
    octaves = [image[None]]
    for below in range(1, OCTAVES):
        size = tuple(round(side / SCALE**below) for side in image.shape[1:])
        octaves.append(resize(image[None], (size[0], size[1])))
    detail = torch.zeros_like(octaves[-1])
    for base in reversed(octaves):
        rows, columns = base.shape[2:]
        detail = F.interpolate(detail, size=(rows, columns), mode="bicubic")
        x = (base + detail).clamp(0, 1)
        for _ in range(STEPS):
            oy, ox = torch.randint(-JITTER, JITTER + 1, (2,), generator=draw).tolist()
            x = torch.roll(x, (oy, ox), (2, 3)).requires_grad_()
            activations = _stopped_at(module, LAYER, network.feed(x))
            (g,) = torch.autograd.grad(activations, x, activations.detach())
            x = (x.detach() + RATE * g / g.abs().mean()).clamp(0, 1)
            x = torch.roll(x, (-oy, -ox), (2, 3))
        detail = x - base
    return x[0]


class _ReachedError(Exception):
    """The layer has answered; what comes behind it needn't run."""


def _stopped_at(module: nn.Module, layer: str, fed: Tensor) -> Tensor:
    kept: list[Tensor] = []

    def stop(module: nn.Module, inputs: object, output: Tensor) -> None:
        kept.append(output)
        raise _ReachedError

    handle = module.get_submodule(layer).register_forward_hook(stop)
    try:
        module(fed)
    except _ReachedError:
        pass
    finally:
        handle.remove()
    return kept[0]


def _print_peak(steps: int) -> None:
    image = resize(cs.read_image("china"), LARGE)
    seconds = 0.0

    def watch(progress: cs.Progress) -> None:
        nonlocal seconds
        seconds = progress.seconds

    made = dream(cs.load("efficientnet-lite0"), image, LAYER, steps=steps, progress=watch)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    tile = made.recipe.parameters["tile"]
    print(f"4000 × 3000, {OCTAVES} octaves × {steps} steps by windows of {tile}: {seconds:.0f} s, ", end="")
    print(f"peak {peak:.2f} GB of {LIMIT:.0f}")


if __name__ == "__main__":
    main()
