"""What a network answers with the occluder at each of its places: incrementally where that pays, or image by image."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from convscope.attribution.incremental import Incremental
from convscope.attribution.occluder import Cover, Windows
from convscope.attribution.spread import Indices
from convscope.errors import ImageError, NetworkError, nearest
from convscope.network.answers import Answers
from convscope.network.engine import EngineName, Part, TorchEngine, affordable, engine_for, lean
from convscope.network.folding import uses_batch_statistics
from convscope.network.graph import Graph
from convscope.network.network import Network
from convscope.network.target import Target
from convscope.progress import Steps

Method = Literal["auto", "incremental", "dense"]
Returned = tuple[Any, dict[str, Tensor]]
# What rectangles may cost of the dense work at most, to be worth their keeping of books.
_PAYS = 0.85
# Images at once where nothing is known of the network's insides.
_UNTRACED = 16


@dataclass(frozen=True)
class Measured:
    """One target's scores and probabilities `(rows, columns)`, NaN where the occluder was not, and without occluder."""

    scores: Tensor
    probabilities: Tensor | None
    baseline: Tensor
    baseline_probability: Tensor | None


@dataclass(frozen=True)
class SoFar:
    """The first target's map as far as it is known, which is what a watcher is shown.

    `values` `(rows, columns)` is the fall of the score with the window at each place, NaN where it was not yet; `unit`
    says what it is counted in.
    """

    values: Tensor
    windows: Windows
    unit: str

    @property
    def heatmap(self) -> Tensor:
        """By pixels `(H, W)`: the mean over the windows that cover one and are known, NaN where there are none."""
        known = ~self.values.isnan()
        sums, counts = self.values.where(known, 0), known.to(self.values)
        return self.windows.averaged(sums) / self.windows.averaged(counts)


@dataclass(frozen=True)
class Asked:
    """What is asked of a network: the layers in `keep` and, if `whole`, its output."""

    keep: tuple[str, ...]
    whole: bool

    @classmethod
    def by(cls, targets: Sequence[Target]) -> "Asked":
        layers = {layer: None for target in targets for layer in target.layers}
        return cls(tuple(layers), any(target.needs_output for target in targets))

    def of(self, graph: Graph) -> Part:
        """It as a part of a graph."""
        return Part(graph, keep=self.keep, whole=self.whole)


def measure(
    network: Network,
    targets: Sequence[Target],
    way: "Dense | Rectangles | Untraced",
    windows: Windows,
    steps: Steps,
    *,
    chosen: Tensor | None = None,
) -> list[Measured]:
    """Every target with the occluder at all of its places, or those `chosen` `(rows, columns)`.

    A watcher is shown what is known of the first target, as a `SoFar`.
    """
    clean = Answers(*way.clean(), network.reader, 1)
    scores = [clean.score(target).new_full(windows.shape, torch.nan) for target in targets]
    first = clean.score(targets[0])
    likely = [None if target.index is None else each.clone() for target, each in zip(targets, scores, strict=True)]
    for rows, columns, (output, kept) in way.run(chosen):
        answers = Answers(output, kept, network.reader, len(rows))
        for target, score, probability in zip(targets, scores, likely, strict=True):
            score[rows, columns] = answers.score(target)
            if probability is not None:
                probability[rows, columns] = answers.probabilities[:, target.index]
        # One number a place, so that it costs nothing beside a batch.
        steps.done(len(rows), preview=SoFar(first - scores[0], windows, targets[0].unit))
    return [
        Measured(score, probability, clean.score(target)[0], _first(clean.probability(target)))
        for target, score, probability in zip(targets, scores, likely, strict=True)
    ]


def _first(value: Tensor | None) -> Tensor | None:
    return None if value is None else value[0]


def way_for(
    network: Network,
    asked: Asked,
    windows: Windows,
    cover: Cover,
    *,
    method: Method = "auto",
    engine: EngineName = "auto",
    batch: int | None = None,
) -> "Dense | Rectangles | Untraced":
    """How to go through all places of the occluder: with `method` "auto", the one that is estimated to cost less."""
    if method not in get_args(Method):
        raise ImageError(f"unknown method {method!r}; {nearest(str(method), get_args(Method))}")
    if engine not in get_args(EngineName):
        raise NetworkError(f"unknown engine {engine!r}; {nearest(str(engine), get_args(EngineName))}")
    if batch is not None and batch < 1:
        raise ImageError(f"got batch={batch}; expected at least 1, or None to have it chosen")
    traced = network.graph(tuple(cover.image.shape))
    if traced is None:
        return Untraced(network, asked, windows, cover, batch)
    if any(uses_batch_statistics(node) for node in traced.nodes):
        batch = 1
    graph = lean(traced, cover.clean)
    if method != "dense" and not graph.writes and cover.keeps_places:
        incremental = Incremental(graph, cover.clean, windows, keep=asked.keep, whole=asked.whole)
        if method == "incremental" or incremental.work < _PAYS:
            return Rectangles(incremental, windows, cover, engine, batch)
    return Dense(asked.of(graph), windows, cover, engine, batch)


class Rectangles:
    """By rectangles; the last part of the network, where they fill the map, by the engine that is fastest."""

    method: Method = "incremental"

    def __init__(
        self, incremental: Incremental, windows: Windows, cover: Cover, engine: EngineName, batch: int | None
    ) -> None:
        self._incremental, self._windows, self._cover, self._batch = incremental, windows, cover, batch
        self.engine: EngineName = "torch"
        self.description = f"incremental, torch {torch.__version__}"
        tail = incremental.tail()
        if tail is not None and engine != "torch":
            chosen = engine_for(tail, incremental.example(tail), prefer=engine, images=len(windows))
            incremental.finish_with(tail, chosen)
            if not isinstance(chosen, TorchEngine):
                self.engine = "onnx"
                self.description += f"; {chosen.name} where the whole map changes"
        if incremental.first_whole is not None:
            self.description += f"; whole maps from {incremental.first_whole} on"

    @property
    def work(self) -> float:
        """Multiply-adds for a window by exact rectangles, as a part of the dense ones."""
        return self._incremental.work

    def clean(self) -> Returned:
        return self._incremental.clean_output()

    def run(self, chosen: Tensor | None) -> Iterator[tuple[Indices, Indices, Returned]]:
        for batch in self._incremental.batches(self._batch, chosen=chosen):
            boxes = [self._windows.box(row, column) for row, column in zip(batch.rows, batch.columns, strict=True)]
            covered = self._cover.within(boxes)
            if self._cover.spills(covered, boxes):
                for at, fed in enumerate(covered):
                    one = slice(at, at + 1)
                    yield batch.rows[one], batch.columns[one], self._incremental.run_whole(fed[None])
            else:
                yield batch.rows, batch.columns, self._incremental.run(batch, covered)


class Dense:
    """Every occluded image through the whole network, by the engine that is fastest."""

    method: Method = "dense"
    work = 1.0

    def __init__(self, part: Part, windows: Windows, cover: Cover, engine: EngineName, batch: int | None) -> None:
        self._windows, self._cover = windows, cover
        self._engine = engine_for(part, (cover.clean,), prefer=engine, images=len(windows))
        self.engine: EngineName = "torch" if isinstance(self._engine, TorchEngine) else "onnx"
        self.description = f"dense, {self._engine.name}"
        with torch.no_grad():
            self._batch = batch or affordable(part, part.graph.values(cover.clean.clone()))

    def clean(self) -> Returned:
        return self._engine(self._cover.clean)

    def run(self, chosen: Tensor | None) -> Iterator[tuple[Indices, Indices, Returned]]:
        for rows, columns, fed in _fed(self._windows, self._cover, chosen, self._batch):
            yield rows, columns, self._engine(fed)


class Untraced:
    """Every occluded image through a network whose graph is not known."""

    method: Method = "dense"
    engine: EngineName = "torch"
    work = 1.0

    def __init__(self, network: Network, asked: Asked, windows: Windows, cover: Cover, batch: int | None) -> None:
        self._network, self._asked, self._windows, self._cover = network, asked, windows, cover
        self._batch = batch or _UNTRACED
        self.description = f"dense, torch {torch.__version__}; the network can't be traced"

    def clean(self) -> Returned:
        # A copy, since the network may write into it.
        return self._network.run_fed(self._cover.clean.clone(), self._asked.keep, whole=self._asked.whole)

    def run(self, chosen: Tensor | None) -> Iterator[tuple[Indices, Indices, Returned]]:
        for rows, columns, fed in _fed(self._windows, self._cover, chosen, self._batch):
            yield rows, columns, self._network.run_fed(fed, self._asked.keep, whole=self._asked.whole)


def _fed(
    windows: Windows, cover: Cover, chosen: Tensor | None, batch: int
) -> Iterator[tuple[Indices, Indices, Tensor]]:
    """All windows, row by row, with what the network is fed for each."""
    places = torch.ones(windows.shape, dtype=torch.bool) if chosen is None else chosen
    for part in torch.split(places.nonzero(), batch):
        rows, columns = (np.asarray(each) for each in part.T)
        yield rows, columns, cover.whole([windows.box(row, column) for row, column in part.tolist()])
