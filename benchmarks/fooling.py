"""Fooling efficientnet-lite0: how often attacks succeed on photographs, how small they are, and beside foolbox; noise.

`--part` runs one of: targeted (PGD to a random class), deep-fool, carlini-wagner, noise, foolbox. What is said of
success is said of the PNG read again, but for foolbox, whose images are floats: there both sides are judged before
rounding. Foolbox is no dependency: `pip install foolbox==3.3.4`.
"""

import argparse
import csv
import importlib
import random
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import convscope as cs
from benchmarks.timing import print_table
from convscope.fooling.adversarial import Adversarial

DEFAULT_FOLDER = Path(__file__).parents[2] / "shared" / "images"
EPSILON = 2 / 255
PARTS = ("targeted", "deep-fool", "carlini-wagner", "noise", "foolbox")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fooling", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=DEFAULT_FOLDER, help="default: ../shared/images")
    parser.add_argument("--part", choices=PARTS, action="append", help="this alone; may be given again")
    parser.add_argument("--images", type=int, default=100, help="of targeted PGD and DeepFool; the others take a fifth")
    parser.add_argument("--batch", type=int, default=10)
    arguments = parser.parse_args()
    table = arguments.folder / "photos.tsv"
    if not table.exists():
        print(f"nothing measured: there is no {table}")
        return
    network = cs.load("efficientnet-lite0")
    images = photographs(network, table, arguments.images)
    for part in arguments.part or PARTS:
        MEASURED[part](network, images, arguments.batch)


def photographs(network: cs.Network, table: Path, count: int) -> Tensor:
    """So many that the network names rightly, evenly from all, `(N, 3, 224, 224)`."""
    with table.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    random.Random(0).shuffle(rows)
    found: list[Tensor] = []
    for row in rows:
        image = network.read(table.parent / "photos" / row["file"])
        if network.predict(image, top=1)[0].index == int(row["imagenet_index"]):
            found.append(image)
        if len(found) == count:
            break
    return torch.stack(found)


def random_targets(network: cs.Network, images: Tensor) -> list[int]:
    """A class for each that it is not."""
    draw, own = random.Random(1), [each[0].index for each in network.predict(images, top=1)]
    return [draw.choice([index for index in range(1000) if index != one]) for one in own]


def targeted(network: cs.Network, images: Tensor, batch: int) -> None:
    start = time.perf_counter()
    targets = random_targets(network, images)
    result = cs.pgd(network, images, target=targets, epsilon=EPSILON, steps=40, batch=batch)
    seconds = time.perf_counter() - start
    count = len(images)
    print(
        f"targeted PGD, 40 steps, epsilon 2/255: {_in_files(network, result)} of {count} when "
        f"the PNG is read again (goal {0.95 * count:.0f}); largest change "
        f"{255 * float(result.norms.linf.max()):.3f} of 255; {seconds / count:.2f} s an image"
    )


def deep_fool(network: cs.Network, images: Tensor, batch: int) -> None:
    start = time.perf_counter()
    result = cs.deep_fool(network, images, batch=batch)
    seconds = time.perf_counter() - start
    relative, fgsm = result.norms_before_rounding.relative, cs.fgsm(network, images, epsilon=EPSILON, batch=batch)
    times = fgsm.norms_before_rounding.relative.mean() / relative.mean()
    print(
        f"DeepFool: mean |r| / |x| {float(relative.mean()):.2e} before rounding (goal 3e-3), {float(times):.0f} times "
        f"below FGSM's; {float(result.norms.relative.mean()):.2e} in the file; {_in_files(network, result)} of "
        f"{len(images)} when it is read again; {seconds / len(images):.2f} s an image"
    )


def carlini_wagner(network: cs.Network, images: Tensor, batch: int) -> None:
    some = images[: max(1, len(images) // 5)]
    targets = random_targets(network, some)
    start = time.perf_counter()
    result = cs.carlini_wagner(network, some, target=targets, searches=9, steps=100, batch=batch)
    seconds = time.perf_counter() - start
    other = cs.pgd(network, some, target=targets, epsilon=EPSILON, steps=40, batch=batch)
    smaller = int((result.norms.l2 < other.norms.l2).sum())
    print(
        f"Carlini-Wagner to a random class, 9 searches of 100 steps: {_in_files(network, result)} of {len(some)} when "
        f"the PNG is read again; mean L2 {float(result.norms_before_rounding.l2.mean()):.3f}, in the file "
        f"{float(result.norms.l2.mean()):.3f}, PGD's {float(other.norms.l2.mean()):.3f}, smaller for {smaller}; "
        f"{seconds / len(some):.1f} s an image"
    )


def from_noise(network: cs.Network, images: Tensor, batch: int) -> None:
    """As many random classes as images of Carlini and Wagner's attack."""
    count, start = max(1, len(images) // 5), time.perf_counter()
    result = cs.fool(network, "random", count=count)
    seconds, steps = time.perf_counter() - start, result.steps.float()
    print(
        f"from noise: {int(result.fooled.sum())} of {count} random classes at p ≥ 0.99 in the file (least "
        f"{float(result.probabilities.min()):.4f}), steps {int(steps.min())} to {int(steps.max())}, median "
        f"{float(steps.median()):.0f}; {seconds:.0f} s"
    )


def beside_foolbox(network: cs.Network, images: Tensor, batch: int) -> None:
    """The same images, parameters and steps on both sides, one after the other."""
    try:
        # By name, since it is no dependency that a type checker would find.
        foolbox = importlib.import_module("foolbox")
    except ImportError as error:
        print(f"foolbox is left out: {error}; pip install foolbox==3.3.4")
        return
    some = images[: max(1, len(images) // 5)]
    labels = torch.tensor([each[0].index for each in network.predict(some, top=1)])
    # Their preprocessing is (x − mean) / std, too.
    module = torch.nn.Sequential(_Normalized(network), network.module).eval()
    model = foolbox.PyTorchModel(module, bounds=(0, 1), device="cpu")
    fa, rows = foolbox.attacks, []
    pairs: list[tuple[str, Callable[..., Adversarial], Any, float | None]] = [
        ("FGSM", partial(cs.fgsm, epsilon=EPSILON), fa.LinfFastGradientAttack(), EPSILON),
        ("BIM", partial(cs.bim, epsilon=EPSILON), fa.LinfBasicIterativeAttack(rel_stepsize=0.2, steps=10), EPSILON),
        (
            "PGD",
            partial(cs.pgd, epsilon=EPSILON, step=0.01 / 0.3 * EPSILON),
            fa.LinfPGD(rel_stepsize=0.01 / 0.3, steps=40),
            EPSILON,
        ),
        ("DeepFool", partial(cs.deep_fool), fa.L2DeepFoolAttack(steps=50, candidates=10, overshoot=0.02), None),
        (
            "Carlini-Wagner",
            partial(cs.carlini_wagner, searches=9, steps=20),
            fa.L2CarliniWagnerAttack(binary_search_steps=9, steps=20),
            None,
        ),
    ]
    for name, own, attack, epsilon in pairs:
        theirs, their_time = [], 0.0
        results, own_time = [], 0.0
        for at in range(0, len(some), batch):
            here = slice(at, at + batch)
            start = time.perf_counter()
            results.append(own(network, some[here], batch=batch))
            own_time += time.perf_counter() - start
            start = time.perf_counter()
            _, clipped, _ = attack(model, some[here].clone(), labels[here].clone(), epsilons=epsilon)
            their_time += time.perf_counter() - start
            theirs.append(clipped)
        exact, other = torch.cat([each.exact for each in results]), torch.cat(theirs)
        own_count, their_count = (int((network.logits(each).argmax(dim=1) != labels).sum()) for each in (exact, other))
        in_files = int(torch.cat([each.successes for each in results]).sum())
        lengths = [float((each - some).flatten(1).norm(dim=1).mean()) for each in (exact, other)]
        print(f"{name} done", flush=True)
        rows.append([
            name, f"{own_count}", f"{their_count}", f"{in_files}", f"{lengths[0]:.3f}", f"{lengths[1]:.3f}",
            f"{own_time:.1f} s", f"{their_time:.1f} s", f"{own_time / their_time:.2f}",
        ])  # fmt: skip
    print(f"beside foolbox {foolbox.__version__}, {len(some)} images, {torch.get_num_threads()} threads; goal 0.8")
    columns = ["", "fooled", "theirs", "in files", "L2", "theirs", "time", "theirs", "ratio"]
    print_table(columns, rows)


class _Normalized(torch.nn.Module):
    def __init__(self, network: cs.Network) -> None:
        super().__init__()
        self._normalize = network.normalize

    def forward(self, x: Tensor) -> Tensor:
        return self._normalize(x)


def _in_files(network: cs.Network, result: Adversarial) -> int:
    """For how many the file, written and read again, is answered as was wanted; success must say the same."""
    succeeded = 0
    with tempfile.TemporaryDirectory() as folder:
        for number, label in enumerate(result.labels):
            file = Path(folder, f"{number}.png")
            result.save(file, which=number)
            answer = network.predict(network.read(file), top=1)[0].label
            reached = answer != label if result.targets is None else answer == result.targets[number]
            if reached != bool(result.successes[number]):
                print(f"image {number}: success is {bool(result.successes[number])}, the file says {answer}")
            succeeded += reached
    return succeeded


MEASURED: dict[str, Callable[[cs.Network, Tensor, int], None]] = {
    "targeted": targeted,
    "deep-fool": deep_fool,
    "carlini-wagner": carlini_wagner,
    "noise": from_noise,
    "foolbox": beside_foolbox,
}


if __name__ == "__main__":
    main()
