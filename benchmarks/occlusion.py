"""Exact occlusion by rectangles against running every occluded image: by Captum, by our own engines.

The same windows for all, 16×16 at stride 8 on 224×224, covered with zeros after normalization. Captum's is the best of
three batch sizes. The limit is arithmetic: the dense multiply-adds over those within exact rectangles.
"""

import argparse
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import convscope as cs
from benchmarks.overhead import MEAN, STD, _torchvision_models
from benchmarks.timing import print_table
from convscope.attribution.incremental import Incremental
from convscope.attribution.occluder import Windows
from convscope.network.engine import lean
from convscope.network.onnx_engine import is_installed

WINDOW, STRIDE, TARGET = 16, 8, 207
NETWORKS = ("efficientnet-lite0", "vgg16", "resnet18", "googlenet", "inception_v3", "densenet121")
PEERS_BATCHES = (1, 8, 32)
LARGEST_EXPORT = 256 * 2**20
GOALS = {"vgg16": 7.0, "efficientnet-lite0": 4.0, "resnet18": 2.2}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", default=NETWORKS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--brief", action="store_true", help="only the comparison with Captum and with dense engines")
    parser.add_argument(
        "--peak", type=int, help="only print the peak memory of a run at this stride, of one prediction if it is wide"
    )
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if arguments.peak:
        return _print_peak(arguments.networks[0], arguments.peak)
    print(f"{torch.get_num_threads()} threads, {WINDOW}×{WINDOW} windows at stride {STRIDE}, milliseconds a window")
    columns = [
        "", "Captum", "dense torch", "dense ONNX", "incremental", "× Captum", "goal", "× dense torch", "× dense ONNX",
        "limit", "of limit", "difference",
    ]  # fmt: skip
    for name in arguments.networks:
        print_table(columns, [_compared(_network(name), rounds=arguments.rounds)])
    if arguments.brief:
        return None
    print("\nGain over our own dense torch, and its arithmetic limit")
    print_table(
        ["", *(f"{window} px on {size}" for window, size in CASES)], [_gains(name) for name in arguments.networks]
    )
    print("\nPeak memory of a process in MB: one prediction alone, with 196 windows, with 11,025 windows")
    print_table(["", "alone", "stride 16", "stride 2"], [[name, *_peaks(name)] for name in arguments.networks[:3]])
    return None


CASES = ((8, 224), (16, 224), (32, 224), (64, 224), (16, 320), (16, 448))


def _network(name: str, size: int = 224) -> cs.Network:
    """The default network with its weights, or one of torchvision's with random ones."""
    if name.startswith("efficientnet"):
        return cs.load(name, input_size=(size, size))
    torch.manual_seed(0)
    module: nn.Module = _torchvision_models().get_model(name, weights=None).eval()
    return cs.Network(module.requires_grad_(False), input_size=size, mean=MEAN, std=STD, name=name)


def _compared(network: cs.Network, *, rounds: int) -> list[str]:
    image = network.read("chelsea")
    windows = Windows.over(image, WINDOW, STRIDE)
    captum = _captum(network, image)
    best = min(PEERS_BATCHES, key=lambda batch: _seconds(lambda: captum(56, 56, batch)))

    # What a window costs densely doesn't depend on how many there are: a quarter of them does.
    sparse = 2 * STRIDE
    fewer = len(Windows.over(image, WINDOW, sparse))

    def ours(method: str, engine: str) -> Callable[[], cs.Occlusion]:
        stride = STRIDE if method == "incremental" else sparse
        options = {"window": WINDOW, "stride": stride, "fill": "zero", "method": method, "engine": engine}
        return lambda: cs.occlusion(network, image, TARGET, **options)  # type: ignore[call-overload]

    kinds = {"torch": ours("dense", "torch")}
    if is_installed() and sum(each.nbytes for each in network.module.parameters()) < LARGEST_EXPORT:
        kinds["onnx"] = ours("dense", "onnx")
        ours("incremental", "onnx")()  # from here on its export is at hand
    kinds["incremental"] = ours("incremental", "auto")
    for run in kinds.values():
        run()
    counts = {name: len(windows) if name == "incremental" else fewer for name in kinds}
    rounds_of = [{name: _seconds(run) / counts[name] for name, run in kinds.items()} for _ in range(rounds)]
    times = {name: min(one[name] for one in rounds_of) for name in kinds}
    start = time.perf_counter()
    theirs = captum(WINDOW, STRIDE, best)
    peer = (time.perf_counter() - start) / len(windows)
    own = kinds["incremental"]().values
    difference = float((own - theirs).abs().max() / theirs.abs().max())
    limit = 1 / _work(network, image, windows)
    gain = times["torch"] / times["incremental"]
    return [
        network.name, f"{peer * 1e3:.1f} ({best})", f"{times['torch'] * 1e3:.2f}",
        f"{times['onnx'] * 1e3:.2f}" if "onnx" in times else "", f"{times['incremental'] * 1e3:.2f}",
        f"{peer / times['incremental']:.1f}", f"{GOALS[network.name]}" if network.name in GOALS else "", f"{gain:.2f}",
        f"{times['onnx'] / times['incremental']:.2f}" if "onnx" in times else "", f"{limit:.1f}", f"{gain / limit:.2f}",
        f"{difference:.0e}",
    ]  # fmt: skip


def _gains(name: str) -> list[str]:
    """Measured gain and limit for windows and images of several sizes, on 196 places each."""
    cells = [name]
    for window, size in CASES:
        network = _network(name, size)
        image = network.read("chelsea")
        stride = -(-(size - window) // 13)
        limit = 1 / _work(network, image, Windows.over(image, window, stride))

        def run(method: str, stride: int) -> float:
            options = {"window": window, "stride": stride, "fill": "zero", "method": method, "engine": "torch"}  # noqa: B023
            found = _seconds(lambda: cs.occlusion(network, image, TARGET, **options))  # type: ignore[call-overload]  # noqa: B023
            return found / len(Windows.over(image, window, stride))  # noqa: B023

        run("incremental", stride)
        cells.append(f"{run('dense', 3 * stride) / run('incremental', stride):.1f} of {limit:.1f}")
    return cells


def _work(network: cs.Network, image: Tensor, windows: Windows) -> float:
    fed = network.feed(image[None])
    graph = network.graph(tuple(image.shape))
    assert graph is not None
    return Incremental(lean(graph, fed), fed, windows).work


@dataclass(frozen=True)
class _captum:  # noqa: N801 - it is called like a function
    """Captum's occlusion of the same windows on the same module."""

    network: cs.Network
    image: Tensor

    def __call__(self, window: int, stride: int, batch: int) -> Tensor:
        from captum.attr import Occlusion

        fed = self.network.feed(self.image[None])
        with torch.no_grad():
            values = Occlusion(self.network.module.eval()).attribute(
                fed, sliding_window_shapes=(3, window, window), strides=(3, stride, stride), target=TARGET,
                perturbations_per_eval=batch,
            )  # fmt: skip
        attributed: Tensor = values[0, 0]
        return attributed


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _peaks(name: str) -> list[str]:
    command = [sys.executable, "-m", "benchmarks.occlusion", name, "--peak"]
    strides = ("224", "16", "2")
    return [
        subprocess.run([*command, each], capture_output=True, text=True, check=True).stdout.strip() for each in strides
    ]


def _print_peak(name: str, stride: int) -> None:
    network = _network(name)
    image = network.read("chelsea")
    network.predict(image)
    if stride < WINDOW + 1:
        cs.occlusion(network, image, TARGET, window=WINDOW, stride=stride, fill="zero")
    print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f}")


if __name__ == "__main__":
    main()
