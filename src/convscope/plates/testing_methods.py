"""What `faithfulness_table` does with each photograph: maps by all methods, their curves and their verdicts."""

import math
import os
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from convscope.attribution.attribution import Attribution
from convscope.attribution.faithfulness import Course, courses, runs_needed, with_random_orders
from convscope.attribution.measure import measure_of
from convscope.attribution.methods import METHODS
from convscope.attribution.ranking import pixel_values
from convscope.attribution.verdict import Verdict, verdict
from convscope.errors import ConvscopeError, ImageError, LayerError, RuleError
from convscope.image.provenance import recall
from convscope.image.recipe import Input
from convscope.image.sources import Unreadable, read_folder
from convscope.network.network import Network
from convscope.plates.stages import Stages
from convscope.progress import Steps, Watcher

_WINDOWS_ACROSS = 7


def chosen_photographs(
    network: Network, source: str | os.PathLike[str] | Sequence[Tensor], limit: int | None, seed: int
) -> tuple[list[Path | Tensor], list[Unreadable]]:
    """The photographs to test with, not read yet, in the order that they have; and what is known not to be any."""
    unreadable: list[Unreadable] = []
    found: list[Path | Tensor]
    if isinstance(source, (str, os.PathLike)):
        folder = read_folder(source, every_file=network.loader is not None)
        found, unreadable = [each.path for each in folder.photographs], [*folder.unreadable]
    else:
        found = [*source]
    if not found:
        raise ImageError("got no images; expected one at least")
    drawn = random.Random(seed).sample(range(len(found)), min(limit or len(found), len(found)))
    return [found[index] for index in sorted(drawn)], unreadable


@dataclass(frozen=True)
class Outcome:
    """One map: its curves, its verdict and how long it took."""

    insertion: Course
    deletion: Course
    verdict: Verdict | None = None
    seconds: float = math.nan


@dataclass
class Trial:
    """What is done with each photograph; `names` loses the methods that the network does not allow."""

    network: Network
    names: tuple[str, ...]
    verdicts: bool
    steps: int
    orders: int
    window: int | None
    stride: int | None
    seed: int
    spare: bool
    unit: str = "probability"
    left_out: list[str] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    inputs: list[Input] = field(default_factory=list)

    def run(self, chosen: Sequence[Path | Tensor], progress: Watcher | None) -> list[dict[str, Outcome]]:
        """The methods' results on each image."""
        # All count alike: from the second photograph on, how fast it went tells how long it will take.
        pieces = ("map", "verdict") if self.verdicts else ("map",)
        stages = Stages(
            {
                piece: 1
                for index in range(len(chosen))
                for piece in [*((index, name, kind) for kind in pieces for name in self.names), (index, "curves")]
            },
            progress,
        )
        images = ((self._read(each), index) for index, each in enumerate(chosen))
        return [self._one(image, index, stages) for image, index in images if image is not None]

    def _read(self, photograph: Path | Tensor) -> Tensor | None:
        """An image as the network takes it; None, with a word about it, where it can't be read."""
        try:
            image = (
                self.network.prepare(photograph) if isinstance(photograph, Tensor) else self.network.read(photograph)
            )
        except (ConvscopeError, OSError) as error:
            if isinstance(photograph, Tensor):
                raise
            self.unreadable.append(Unreadable(photograph, str(error)))
            return None
        self.inputs.append(recall(image))
        return image

    def _one(self, image: Tensor, index: int, stages: Stages) -> dict[str, Outcome]:
        target = f"class:{self.network.predict(image, top=1)[0].index}"
        maps, seconds = {}, {}
        for name in self.names:
            begun, watcher = time.perf_counter(), stages.begin((index, name, "map"))
            made = self._map(name, image, target, watcher)
            if made is not None:
                maps[name], seconds[name] = made, time.perf_counter() - begun
        self.names = tuple(maps)
        if not maps:
            raise RuleError(f"no method can explain {self.network.name}; {'; '.join(self.left_out)}")
        judged: dict[str, Verdict] = {}
        for name, each in maps.items() if self.verdicts else ():
            watcher = stages.begin((index, name, "verdict"))
            judged[name] = verdict(self.network, each, seed=self.seed, progress=watcher)
        curves = self._curves(image, maps, stages.begin((index, "curves")))
        return {name: Outcome(*curves[name], judged.get(name), seconds.get(name, math.nan)) for name in maps}

    def _map(self, name: str, image: Tensor, target: str, watcher: Watcher) -> Attribution | None:
        """The map of one method; None, with a word about it, where the network doesn't allow it."""
        across = self.window or max(1, min(image.shape[-2:]) // _WINDOWS_ACROSS)
        # What a map compares with must be what pixels are replaced by afterwards.
        own: dict[str, dict[str, Any]] = {
            "occlusion": {"window": across, "stride": self.stride or max(1, across // 2), "fill": "gray"},
            "integrated-gradients": {"baseline": "gray"},
        }
        try:
            return METHODS[name](self.network, image, target, **own.get(name, {}), progress=watcher)
        except (RuleError, LayerError) as error:
            if not self.spare:
                raise
            self.left_out.append(f"{name} is left out: {error}")
            return None

    def _curves(
        self, image: Tensor, maps: Mapping[str, Attribution], watcher: Watcher
    ) -> dict[str, tuple[Course, Course]]:
        """Insertion and deletion by each map, against random orders."""
        generator = torch.Generator().manual_seed(self.seed)
        runs = Steps(len(maps) * runs_needed(1 + self.orders, self.steps), watcher)
        found = {}
        for name, each in maps.items():
            measure = measure_of(self.network, image, each)
            self.unit = measure.unit
            rankings = with_random_orders(pixel_values(each), None, self.orders, generator)
            found[name] = courses(
                measure, image, rankings, steps=self.steps, start="gray", end="blur", batch=None, runs=runs
            )
        return found
