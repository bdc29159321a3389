"""Does `check` find feeding faults, and how long does it take? Six planted ones, and none, on a folder of photographs.

The folder holds a list of the photographs' ImageNet classes; see `convscope.image.sources`.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import convscope as cs
from benchmarks.timing import print_table
from convscope.plates.checking.check import Check, check

DEFAULT_FOLDER = Path(__file__).parents[2] / "shared" / "images" / "photos"
USUAL = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.check", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=DEFAULT_FOLDER, help="default: ../shared/images/photos")
    parser.add_argument("--network", default="efficientnet-lite0")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--only-right", action="store_true", help="plant no faults")
    arguments = parser.parse_args()
    if not arguments.folder.is_dir():
        print(f"nothing measured: there is no {arguments.folder}")
        return
    faults = {"none": _right, **({} if arguments.only_right else FAULTS)}
    measured = [_measured(name, plant(arguments.network), arguments) for name, plant in faults.items()]
    print_table(["planted", "found", "accuracy as it is", "gain", "95% interval", "wall", "CPU"], measured)


def _right(network: str) -> cs.Network:
    return cs.load(network)


def _with(**options: Any) -> Callable[[str], cs.Network]:
    return lambda network: cs.load(network, **options)


def _alphabetical(network: str) -> cs.Network:
    labels = cs.load(network).labels
    return cs.load(network, labels=sorted(labels or ()))


def _in_training_mode(network: str) -> cs.Network:
    net = cs.load(network)
    net.module.train()
    return net


FAULTS: dict[str, Callable[[str], cs.Network]] = {
    "mean and std": _with(**USUAL),
    "BGR": _with(channel_order="BGR"),
    "[0, 255]": _with(mean=None, std=None, value_range=(0, 255)),
    "resize": _with(fit="resize"),
    "labels sorted": _alphabetical,
    "training mode": _in_training_mode,
}


def _measured(name: str, network: cs.Network, arguments: argparse.Namespace) -> list[str]:
    wall, processor = time.perf_counter(), time.process_time()
    result = check(network, arguments.folder, limit=arguments.limit)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(f"{name}: {result.verdict}\n", flush=True)
    return [name, _found(result), *_figures(result), f"{wall:.0f} s", f"{processor:.0f} s"]


def _found(result: Check) -> str:
    found = [] if result.best == result.current else [result.best.name]
    if result.train_mode is not None and result.train_mode.matters:
        found.append("training mode")
    return "; ".join(found) or "nothing"


def _figures(result: Check) -> list[str]:
    now = f"{result.current.accuracy:.1%}" if result.current.accuracy is not None else ""
    gained = result.best.difference
    if result.best == result.current:
        return [now, "", ""]
    return [now, f"{100 * gained.gain:+.1f}", f"{100 * gained.low:+.1f} to {100 * gained.high:+.1f}"]


if __name__ == "__main__":
    torch.set_num_threads(2)
    main()
