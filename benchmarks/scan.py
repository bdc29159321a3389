"""A scan against what it can't do without, against a plain loop, and as it grows.

`python -m benchmarks.scan FOLDER` scans photographs of that folder, repeated under other names, with the default
network; without a folder, crops of the bundled photographs. Its sides are run in turn: the bare engine on tensors that
are in memory, the whole scan with reading and keeping, and a plain loop of torch with a `DataLoader` and hooks. Then
scans of more and more pictures, each in a process of its own, for what memory and a picture take.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import convscope as cs
from benchmarks.timing import print_table
from convscope.image.bundled import photograph
from convscope.image.sources import read_folder
from convscope.network.engine import Part, engine_for, lean
from convscope.network.stages import stage_ends

BUNDLED = ("astronaut", "chelsea", "china", "coffee", "flower", "motorcycle", "rocket")
COMPARED = 2000
GROWING = (1000, 4000, 8000)
ROUNDS = 2
LOOP_BATCH = 32
OF_ENGINE, OF_LOOP, OF_MEMORY, OF_TIME = 0.5, 3.0, 1.1, 1.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--brief", action="store_true", help="No growing.")
    parser.add_argument("--alone", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.alone is not None:
        alone(given.alone)
        return
    with tempfile.TemporaryDirectory() as name:
        files = [each.path for each in read_folder(given.folder or cropped(Path(name, "crops"))).photographs]
        compare(repeated(files, Path(name, "some"), COMPARED))
        if not given.brief:
            grow([(count, repeated(files, Path(name, str(count)), count)) for count in GROWING])


def cropped(folder: Path) -> Path:
    """Parts of the bundled photographs, about as large as photographs on the web."""
    folder.mkdir(parents=True)
    chance = np.random.default_rng(0)
    for at in range(200):
        picture = Image.open(photograph(BUNDLED[at % len(BUNDLED)])).convert("RGB")
        picture = picture.resize((640, 640 * picture.height // picture.width))
        left, top = (int(chance.integers(0, room)) for room in (140, max(1, picture.height - 375)))
        picture.crop((left, top, left + 500, top + 375)).save(folder / f"{at}.jpg", quality=90)
    return folder


def repeated(files: list[Path], folder: Path, count: int) -> Path:
    """So many of them under other names."""
    folder.mkdir()
    for at in range(count):
        file = files[at % len(files)]
        os.symlink(file.absolute(), folder / f"{at:06}{file.suffix}")
    return folder


class Files(Dataset[Tensor]):
    """The pictures of a folder as a loop reads them."""

    def __init__(self, network: cs.Network, folder: Path) -> None:
        self._prepare, self._files = network.preparation, sorted(folder.iterdir())

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> Tensor:
        pixels = torch.from_numpy(np.array(Image.open(self._files[index]).convert("RGB")))
        return self._prepare.prepare(pixels.permute(2, 0, 1).float() / 255)


class Flow:
    """When how many pictures were done."""

    def __init__(self) -> None:
        self._marks: list[tuple[int, float]] = []

    def note(self, progress: cs.Progress) -> None:
        self._marks.append((progress.done, progress.seconds))

    @property
    def seconds(self) -> float:
        """A picture's, without the start: over the last three quarters."""
        (first, begun), (last, ended) = self._marks[len(self._marks) // 4], self._marks[-1]
        return (ended - begun) / (last - first)


def plain_loop(network: cs.Network, folder: Path) -> int:
    """Codes and the strongest value of each channel by hooks on the module, as one would write it."""
    kept: dict[str, list[Tensor]] = {}

    def keep(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(module: nn.Module, given: Any, output: Tensor) -> None:
            maps = output.flatten(2) if output.dim() > 2 else output[..., None]
            kept.setdefault(name, []).extend([maps.mean(2), *maps.max(2)])

        return hook

    paths = [network.layers[name].name for name in stage_ends(network)]
    modules = dict(network.module.named_modules())
    hooks = [modules[path.removesuffix(".add")].register_forward_hook(keep(path)) for path in paths
             if path.removesuffix(".add") in modules]  # fmt: skip
    loader = DataLoader(Files(network, folder), batch_size=LOOP_BATCH, num_workers=os.cpu_count() or 1)
    count = 0
    with torch.no_grad():
        for batch in loader:
            network.module(network.feed(batch))
            count += len(batch)
    for hook in hooks:
        hook.remove()
    return count


def compare(folder: Path) -> None:
    network = cs.load("efficientnet-lite0")
    count = len([*folder.iterdir()])
    with tempfile.TemporaryDirectory() as name:
        header = cs.scan(network, folder, out=Path(name, "first.scan")).header
        fed = network.feed(torch.rand(header.batch, 3, 224, 224))
        graph = network.graph((3, 224, 224))
        assert graph is not None
        engine = engine_for(Part(lean(graph, fed[:1])), (fed[:1],), images=10_000)
        batches = -(-count // header.batch)
        flows = [Flow() for _ in range(ROUNDS)]
        sides: dict[str, Callable[[int], Any]] = {
            f"bare engine ({engine.name}, batch {header.batch})": lambda at: [engine(fed) for _ in range(batches)],
            "scan": lambda at: cs.scan(network, folder, out=Path(name, f"{at}.scan"), progress=flows[at].note),
            f"plain loop (batch {LOOP_BATCH})": lambda at: plain_loop(network, folder),
        }
        seconds: dict[str, list[float]] = {side: [] for side in sides}
        for at in range(ROUNDS):
            for side, run in sides.items():
                begun = time.perf_counter()
                run(at)
                seconds[side].append(time.perf_counter() - begun)
    bare, scanned, loop = (np.array(each) for each in seconds.values())
    print(f"{count} pictures, {torch.get_num_threads()} threads, {ROUNDS} rounds in turn")
    flowing = [flow.seconds * count for flow in flows]
    rows = [*seconds.items(), ("scan, once it runs", flowing)]
    print_table(["", "ms a picture"], [(side, f"{np.median(each) / count * 1e3:.2f}") for side, each in rows])
    for what, each in (("scan", scanned), ("once it runs", np.array(flowing))):
        print(f"{what}, of the bare engine's throughput: {np.median(bare / each):.2f} (goal {OF_ENGINE})")
        print(f"{what}, times the plain loop's throughput: {np.median(loop / each):.1f} (goal {OF_LOOP})")


def alone(folder: Path) -> None:
    """One scan in this process; what it took, as JSON."""
    network = cs.load("efficientnet-lite0")
    network.predict(torch.zeros(3, 224, 224))
    with tempfile.TemporaryDirectory() as name:
        begun = time.perf_counter()
        cs.scan(network, folder, out=Path(name, "x.scan"))
        took = time.perf_counter() - begun
        stored = sum(each.stat().st_size for each in Path(name).rglob("*") if each.is_file())
    # Not `ru_maxrss`, which begins with that of the process that started this one.
    [peak] = [line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line]
    print(json.dumps({"seconds": took, "peak": int(peak) * 1024, "stored": stored}))


def grow(folders: list[tuple[int, Path]]) -> None:
    found = {}
    for count, folder in folders:
        command = [sys.executable, "-m", "benchmarks.scan", "--alone", str(folder)]
        found[count] = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    rows = [
        (
            f"{count:,}",
            f"{each['seconds'] / count * 1e3:.2f}",
            f"{each['peak'] / 2**20:.0f}",
            f"{each['stored'] / count / 1e3:.1f}",
        )
        for count, each in found.items()
    ]
    print_table(["pictures", "ms a picture", "peak, MB", "stored, kB a picture"], rows)
    one, many, most = (found[count] for count in GROWING)
    print(f"memory at {GROWING[1]:,} over that at {GROWING[0]:,}: {many['peak'] / one['peak']:.2f} (limit {OF_MEMORY})")
    ratio = (most["seconds"] / GROWING[2]) / (one["seconds"] / GROWING[0])
    print(f"time a picture at {GROWING[2]:,} over that at {GROWING[0]:,}: {ratio:.2f} (limit {OF_TIME})")


if __name__ == "__main__":
    main()
