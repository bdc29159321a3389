"""How often a network names what is on a photograph: top-1 and top-5 over a folder, and images a second.

The folder holds `photos.tsv`, with the columns file, imagenet_index and label, and beside it the photographs in
`photos/`.
"""

import argparse
import csv
import math
import time
from pathlib import Path

import convscope as cs
from benchmarks.timing import print_table

DEFAULT_FOLDER = Path(__file__).parents[2] / "shared" / "images"
# The normal distribution's quantile that leaves 2.5% on either side.
Z = 1.959964
TOP = 5


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=DEFAULT_FOLDER, help="default: ../shared/images")
    parser.add_argument("--network", default="efficientnet-lite0")
    arguments = parser.parse_args()
    table = arguments.folder / "photos.tsv"
    if not table.exists():
        print(f"nothing measured: there is no {table}")
        return
    measure(cs.load(arguments.network), table)


def measure(network: cs.Network, table: Path) -> None:
    """Ask the network about every photograph of the table, one at a time, and print how it did."""
    with table.open(encoding="utf-8", newline="") as stream:
        photographs = [
            (table.parent / "photos" / row["file"], int(row["imagenet_index"]))
            for row in csv.DictReader(stream, delimiter="\t")
        ]
    network.predict(network.read(photographs[0][0]))  # the first call traces
    start = time.perf_counter()
    ranks = [_rank(network, path, index) for path, index in photographs]
    seconds = time.perf_counter() - start
    rate = len(ranks) / seconds
    print(f"{network.name}: {len(ranks)} photographs, {rate:.1f} images/s (read, prepared and run one at a time)")
    print_table(["", "right", "share", "95% interval (Wilson)"], [_share(ranks, top) for top in (1, TOP)])


def _rank(network: cs.Network, path: Path, index: int) -> int:
    """The place of the right class among the answers, 0 the first; `TOP` if it is none of them."""
    answers = [prediction.index for prediction in network.predict(network.read(path), top=TOP)]
    return answers.index(index) if index in answers else TOP


def _share(ranks: list[int], top: int) -> list[str]:
    right = sum(rank < top for rank in ranks)
    low, high = wilson(right, len(ranks))
    return [f"top-{top}", f"{right} of {len(ranks)}", f"{right / len(ranks):.1%}", f"{low:.1%} to {high:.1%}"]


def wilson(right: int, total: int) -> tuple[float, float]:
    """The 95% interval of a share (Wilson 1927).

    >>> [round(end, 3) for end in wilson(9, 10)]
    [0.596, 0.982]
    """
    share = right / total
    middle = share + Z**2 / (2 * total)
    half = Z * math.sqrt(share * (1 - share) / total + Z**2 / (4 * total**2))
    return (middle - half) / (1 + Z**2 / total), (middle + half) / (1 + Z**2 / total)


if __name__ == "__main__":
    main()
