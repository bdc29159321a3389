"""Exact occlusion at the cost of what changes: only the occluder's rectangle is carried through the network.

The clean image is run once and its values are kept. From each place of the occluder, every layer is then computed only
where it can change (`spread.py`), from the clean values around (`patches.py`), call by call (`patchwise.py`); the idea
is Krypton's (Nakandala, Kumar and Papakonstantinou, SIGMOD 2019). Windows that lie alike on the strides of
all layers have rectangles of the same sizes and go together, many at a time.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from convscope.attribution.occluder import Windows
from convscope.attribution.patches import Batch, Clean, Patches
from convscope.attribution.patchwise import Positionwise, Sliding, Step, Whole, step_of, wholes
from convscope.attribution.spread import Indices, Spread, Track, grouped
from convscope.network.engine import Engine, Part
from convscope.network.graph import Graph, Values, resolved
from convscope.network.layers import cost_of
from convscope.network.ops import name_of
from convscope.network.trace import Ref, map_leaves, refs_in, tensors_in

# Windows that go together at most, and the bytes that their patches may have at once: what processors keep near.
_MOST, _NEAR = 64, 64 * 2**20
# Rows or columns of windows below which groups are joined.
_LEAST = 4
# Where so much of a map changes, it may as well be computed whole.
_NEARLY_ALL = 0.8
_TAIL = 0.15


class Incremental:
    """The incremental engine for one image: `graph` without writes in place, `fed` `(1, C, H, W)` as it is fed.

    `run(batch, covered)` gives what the graph returns for a batch of windows, and the layers in `keep`.
    """

    def __init__(
        self, graph: Graph, fed: Tensor, windows: Windows, *, keep: Sequence[str] = (), whole: bool = True
    ) -> None:
        assert not graph.writes
        self._graph, self._windows, self._keep, self._whole = graph, windows, tuple(keep), whole
        with torch.no_grad():
            values = graph.values(fed)
        self._values = values
        order = graph.order((0,), keep, whole=whole)
        self._order = [index for index in order if index and not graph.constant[index]]
        rows, columns = (
            Track.of(places.length, places.starts, [stop - 1 for stop in places.stops])
            for places in (windows.rows, windows.columns)
        )
        self._spreads: dict[Ref, Spread] = {Ref(0): Spread(rows, columns)}
        self._steps: dict[int, Step] = {}
        for index in self._order:
            step = self._steps[index] = step_of(graph, index, values, self._spreads)
            if isinstance(step, Positionwise) and self._alone_reads(index, step.source):
                self._steps[index] = step.in_place(graph)
            if step.spread is not None:
                self._spreads.update((ref, step.spread) for ref in _refs_to(index, values))
        self._clean = Clean({ref: resolved(ref, values, 1) for ref in self._spreads})
        self._tail: tuple[int, Part, Engine] | None = None
        self._wanted: dict[int, list[str]] = {}
        for name in keep:
            self._wanted.setdefault(graph.names[name].node, []).append(name)

    def _alone_reads(self, index: int, source: Ref) -> bool:
        """Whether a freshly computed value may be overwritten by the call that reads it.

        Another that reads it, even earlier, may have passed on the very same memory: a slice, padding.
        """
        fresh = isinstance(self._steps.get(source.node), Sliding)
        kept = source.node in {self._graph.names[name].node for name in self._keep}
        return fresh and not kept and self._readers[source.node] == {index}

    @cached_property
    def _readers(self) -> dict[int, set[int]]:
        """The nodes that read each node; the number of nodes for the output."""
        readers: dict[int, set[int]] = {index: set() for index in range(len(self._graph.nodes))}
        for index in self._order:
            node = self._graph.nodes[index]
            for ref in refs_in((node.args, node.kwargs)):
                readers[ref.node].add(index)
        for ref in refs_in(self._graph.output):
            readers[ref.node].add(len(self._graph.nodes))
        return readers

    # What it costs

    @cached_property
    def _costs(self) -> dict[int, int]:
        nodes = [replace(node, value=value) for node, value in zip(self._graph.nodes, self._values, strict=True)]
        return {index: cost_of(nodes, nodes[index]) for index in self._order}

    def _share(self, index: int) -> float:
        spread = self._steps[index].spread
        return 1.0 if spread is None else spread.share

    def _rectangle_share(self, index: int) -> float:
        """Which part of a map the rectangles take that its windows have in common, as a mean over the groups."""
        spread = self._steps[index].spread
        if spread is None:
            return 1.0
        means = [
            sum(track.size[group].max() * len(group) for group in groups) / (track.length * len(track.size))
            for track, groups in zip((spread.rows, spread.columns), self._groups, strict=True)
        ]
        return float(means[0] * means[1])

    @property
    def work(self) -> float:
        """Multiply-adds for a window by exact rectangles, as a part of those of the whole network."""
        total = sum(self._costs.values())
        return sum(cost * self._share(index) for index, cost in self._costs.items()) / max(total, 1)

    @property
    def first_whole(self) -> str | None:
        """The first call that is not made on rectangles though one goes in; None where all are."""
        for index in self._order:
            node = self._graph.nodes[index]
            if isinstance(self._steps[index], Whole) and any(
                ref in self._spreads for ref in refs_in((node.args, node.kwargs))
            ):
                return name_of(node.function)
        return None

    # Windows that go together

    def batches(self, most: int | None = None, *, chosen: Tensor | None = None) -> Iterator[Batch]:
        """All windows, or those `chosen` `(rows, columns)`, in batches of at most so many.

        By default as many as have their patches in memory near the processor.
        """
        most = most or self._affordable
        row_groups, column_groups = self._groups
        for row_group in row_groups:
            for column_group in column_groups:
                pairs = np.stack(np.meshgrid(row_group, column_group, indexing="ij")).reshape(2, -1)
                if chosen is not None:
                    pairs = pairs[:, chosen.numpy()[pairs[0], pairs[1]]]
                for part in np.array_split(pairs, math.ceil(pairs.shape[1] / most) or 1, axis=1):
                    if part.size:
                        yield Batch(part[0], part[1], row_group, column_group)

    @cached_property
    def _groups(self) -> tuple[list[Indices], list[Indices]]:
        spreads = set(self._spreads.values())
        return (
            grouped([spread.rows for spread in spreads], _LEAST),
            grouped([spread.columns for spread in spreads], _LEAST),
        )

    @cached_property
    def _affordable(self) -> int:
        needed = max((self._bytes(index) for index in self._order), default=0)
        return max(1, min(_MOST, _NEAR // max(needed, 1)))

    def _bytes(self, index: int) -> int:
        """What one window takes while a node is computed: its value and what it reads."""
        node = self._graph.nodes[index]
        refs = {ref for ref in refs_in((node.args, node.kwargs)) if not self._graph.constant[ref.node]}
        total = 0
        for ref in (*refs, *_refs_to(index, self._values)):
            value = resolved(ref, self._values, 1)
            spread = self._spreads.get(ref) if self._steps[index].spread is not None else None
            part = (
                1.0 if spread is None else spread.rows.size.max() * spread.columns.size.max() / math.prod(spread.shape)
            )
            total += int(value.numel() * value.element_size() * part) if isinstance(value, Tensor) else 0
        return total

    # The part that is computed whole by another engine

    def tail(self) -> Part | None:
        """The last part of the graph, where nearly all of every map changes, if that is much of the work."""
        narrow = [
            at
            for at, index in enumerate(self._order)
            if self._costs[index] and self._rectangle_share(index) < _NEARLY_ALL
        ]
        for start in range(max(narrow, default=-1) + 1, len(self._order)):
            after = self._order[start:]
            nodes = [self._graph.nodes[index] for index in after]
            refs = {ref for node in nodes for ref in refs_in((node.args, node.kwargs))}
            refs.update(refs_in(self._graph.output) if self._whole else ())
            live = {ref for ref in refs if ref.node < after[0] and not self._graph.constant[ref.node]}
            if sum(self._costs[index] for index in after) < _TAIL * sum(self._costs.values()):
                return None
            if len(live) <= 2 and all(self._is_batch(ref) for ref in live):
                keep = tuple(name for name in self._keep if self._graph.names[name].node >= after[0])
                return Part(self._graph, tuple(sorted(ref.node for ref in live)), keep, self._whole)
        return None

    def _is_batch(self, ref: Ref) -> bool:
        """Whether a value is a tensor with the images along its first dimension, as engines take it."""
        value = self._values[ref.node]
        return ref.item is None and isinstance(value, Tensor) and value.shape[:1] == (1,)

    def example(self, part: Part) -> tuple[Tensor, ...]:
        """The clean values of what a part is given."""
        return tuple(self._values[node] for node in part.given)

    def finish_with(self, part: Part, engine: Engine) -> None:
        """Leave a tail to an engine."""
        order = part.graph.order(part.given, part.keep, whole=part.whole)
        begin = min(index for index in order if index not in part.given and not part.graph.constant[index])
        self._tail = (begin, part, engine)

    # Running

    def run(self, batch: Batch, covered: Tensor) -> tuple[Any, dict[str, Tensor]]:
        """What the network returns for these windows, and the layers kept.

        `covered` `(1, C, H, W)` is what it is fed within a window, or `(B, C, H, W)` for each its own.
        """
        patches = Patches(batch, self._clean, self._spreads)
        patches.start(Ref(0), covered)
        values: Values = [None] * len(self._graph.nodes)
        kept: dict[str, Tensor] = {}
        for index in self._order:
            if self._tail is not None and index >= self._tail[0]:
                _, part, engine = self._tail
                output, late = engine(*(self._final(Ref(node), patches, values) for node in part.given))
                return output, kept | late
            self._advance(index, patches, values)
            for name in self._wanted.get(index, ()):
                kept[name] = self._final(self._graph.names[name], patches, values)
            for done in self._graph.last_use[index]:
                values[done] = None
                patches.forget(done)
        if not self._whole:
            return None, kept
        return map_leaves(self._graph.output, lambda leaf: self._final(leaf, patches, values)), kept

    def clean_output(self) -> tuple[Any, dict[str, Tensor]]:
        """What the network returns for the clean image, and the layers kept."""
        kept = {name: resolved(self._graph.names[name], self._values, 1) for name in self._keep}
        if not self._whole:
            return None, kept
        return map_leaves(self._graph.output, lambda leaf: resolved(leaf, self._values, 1)), kept

    def run_whole(self, fed: Tensor) -> tuple[Any, dict[str, Tensor]]:
        """The same for other images, without rectangles."""
        with torch.no_grad():
            return self._graph.run(fed, self._keep, whole=self._whole)

    def _advance(self, index: int, patches: Patches, values: Values) -> None:
        step = self._steps[index]
        result = step.run(self._graph, patches, values)
        if step.spread is None:
            values[index] = result
        else:
            patches.made.update(zip(_refs_to(index, self._values), tensors_in(result), strict=True))

    def _final(self, leaf: Any, patches: Patches, values: Values) -> Any:
        """A value as whole maps, whichever way it was computed."""
        if isinstance(leaf, Ref) and values[leaf.node] is None:
            values[leaf.node] = (
                self._graph.nodes[leaf.node].value if self._graph.constant[leaf.node] else wholes(leaf, patches)
            )
        return resolved(leaf, values, len(patches.batch))


def _refs_to(index: int, values: Values) -> list[Ref]:
    """References to all that a node gives."""
    value = values[index]
    if isinstance(value, Tensor):
        return [Ref(index)]
    return [Ref(index, item) for item, each in enumerate(value) if isinstance(each, Tensor)]
