"""How sure a network becomes of patterns that evolution finds in so many evaluations.

Published for AlexNet (Nguyen, Yosinski and Clune 2015): medians of 21.59% (direct) and 88.11% (CPPN), over all classes
and far more evaluations than here.
"""

import argparse
import time

import torch

import convscope as cs
from benchmarks.timing import print_table

PUBLISHED = {"direct": "21.59%", "cppn": "88.11%"}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evolution", description=__doc__)
    parser.add_argument("--network", default="efficientnet-lite0")
    parser.add_argument("--evaluations", type=int, default=2000, help="of each encoding; default: 2000")
    arguments = parser.parse_args()
    network = cs.load(arguments.network)
    rows = [_evolved(network, encoding, arguments.evaluations) for encoding in PUBLISHED]
    print_table(["evolved", "evaluations", "median", "mean", "0.99 or more", "wall", "CPU", "published"], rows)


def _evolved(network: cs.Network, encoding: str, evaluations: int) -> list[str]:
    wall, processor = time.perf_counter(), time.process_time()
    result = cs.evolve(network, encoding=encoding, evaluations=evaluations)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    sure = result.probabilities
    return [
        encoding, f"{evaluations:,}", f"{result.median:.2%}", f"{float(sure.mean()):.2%}",
        f"{int((sure >= 0.99).sum())}",
        f"{wall:.0f} s", f"{processor:.0f} s", PUBLISHED[encoding],
    ]  # fmt: skip


if __name__ == "__main__":
    torch.set_num_threads(2)
    main()
