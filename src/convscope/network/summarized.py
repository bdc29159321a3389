"""Layers summed up as they run: of each channel its mean, its largest value and where that is, never the map itself.

The sums are further nodes of the graph, so that whatever engine runs it makes them where the maps are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from convscope.errors import LayerError
from convscope.network.answers import Answers
from convscope.network.engine import Engine, EngineName, Part, affordable, engine_for, lean
from convscope.network.network import Network

_MOST = 32
"""Images at once: more are no faster on a processor, and take memory."""


def mean(value: Tensor) -> Tensor:
    """The mean over the places of maps `(N, C, H, W)`: `(N, C)`. A vector `(N, C)` has one place, and is its own."""
    return value.flatten(2).mean(dim=2) if value.dim() > 2 else value + 0.0


def largest(value: Tensor) -> Tensor:
    """The largest value over the places, `(N, C)`."""
    return value.flatten(2).amax(dim=2) if value.dim() > 2 else value + 0.0


def largest_at(value: Tensor) -> Tensor:
    """Which place that is, counted row by row, `(N, C)`."""
    return value.flatten(2).argmax(dim=2) if value.dim() > 2 else torch.zeros_like(value, dtype=torch.long)


_SUMS = {"mean": mean, "largest": largest, "at": largest_at}


@dataclass(frozen=True)
class Summed:
    """One layer over a batch: `mean` and `largest` `(N, C)` float32 of each channel, and `at` `(N, C)`, the place."""

    mean: Tensor
    largest: Tensor
    at: Tensor


class Summarizer:
    """Runs batches of images and sums layers up.

    Parameters
    ----------
    layers
        Maps `(C, H, W)` or vectors `(C,)`, by any of their names, which the sums keep.
    whole
        Whether the network's answers are wanted, too.
    engine, images
        As for `engine_for`: which, and how many images are to come.
    batch
        Images at once; by default as many as stay near the processor.

    Raises
    ------
    LayerError
        There is no such layer, or it has another shape.
    """

    def __init__(
        self,
        network: Network,
        layers: Sequence[str],
        *,
        whole: bool = True,
        engine: EngineName = "auto",
        images: int = 1,
        batch: int | None = None,
    ) -> None:
        self._network, self._whole = network, whole
        for name in layers:
            check_summable(network, name)
        self._layers = {name: network.layers[name].name for name in layers}
        shape = (network.channels, *network.input_size)
        fed = network.feed(torch.zeros(1, *shape))
        traced = network.graph(shape)
        self._engine: Engine | None = None
        self.name, self.batch = f"torch {torch.__version__}", batch or _MOST
        graph = None if traced is None else lean(traced, fed)
        if graph is None or graph.writes:  # what is written over can't be summed up at the end
            return
        sums = {
            f"{layer} {name}": (function, own)
            for layer, own in self._layers.items()
            for name, function in _SUMS.items()
        }
        part = Part(graph.extended(sums), keep=tuple(sums), whole=whole)
        if batch is None:
            with torch.no_grad():
                self.batch = affordable(part, part.graph.values(fed.clone()), most=_MOST)
        self._engine = engine_for(part, (fed,), prefer=engine, images=images, alone=False)
        self.name = self._engine.name

    def __call__(self, images: Tensor) -> tuple[Answers, dict[str, Summed]]:
        """The answers to a batch `(N, C, H, W)` (of no use unless `whole`), and each layer summed up."""
        count = len(images)
        if count < self.batch:
            images = torch.cat([images, images.new_zeros(self.batch - count, *images.shape[1:])])
        fed = self._network.feed(images)
        if self._engine is None:
            output, kept = self._network.run_fed(fed, tuple(self._layers.values()), whole=self._whole)
            sums = {
                f"{layer} {name}": function(kept[own])
                for layer, own in self._layers.items()
                for name, function in _SUMS.items()
            }
        else:
            output, sums = self._engine(fed)
        summed = {layer: Summed(*(sums[f"{layer} {name}"][:count].cpu() for name in _SUMS)) for layer in self._layers}
        return Answers(output, {}, self._network.reader, self.batch), summed


def check_summable(network: Network, name: str) -> None:
    """Raises LayerError unless there is such a layer, of maps `(C, H, W)` or a vector `(C,)`."""
    shape = network.layers[name].shape
    if len(shape) not in (1, 3):
        raise LayerError(f"layer {name!r} has the shape {shape}; expected maps (C, H, W) or a vector (C,)")
