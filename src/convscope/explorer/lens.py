"""A network made ready to be looked through again and again: lean, by torch, its last answers and maps kept."""

import time
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from threading import BoundedSemaphore, Lock, RLock
from typing import Any

import torch
from torch import Tensor

from convscope.attribution.occluder import Box, Cover, Fill
from convscope.errors import LayerError, TargetError
from convscope.explorer.strip import stages
from convscope.network.answers import Answers
from convscope.network.engine import Part, TorchEngine, lean
from convscope.network.graph import Graph
from convscope.network.heads import Prediction
from convscope.network.layers import Layer
from convscope.network.network import Network
from convscope.network.rules import Rule
from convscope.network.target import Grammar, Mask, Target

# Passes at once, over all networks and pages: more only wait for one another, and take memory.
_turns = BoundedSemaphore(2)

# When anyone looked last.
_looked: deque[float] = deque(maxlen=1)
_LATELY = 0.5

_KEPT_BYTES = 96 << 20
_KEPT_ANSWERS = 256


@contextmanager
def turn() -> Iterator[None]:
    """One of the few turns to run a network for somebody who looks."""
    _looked.append(time.monotonic())
    with _turns:
        yield


def is_looked_through() -> bool:
    """Whether anyone has looked through a network in the last half second: at a picture, or with a camera."""
    return bool(_looked) and time.monotonic() - _looked[-1] < _LATELY


class Lens:
    """A network, and what it answered last. Images are told from one another by `id`."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self._making, self._lock = RLock(), Lock()
        self._maps: OrderedDict[tuple[str, str], Tensor] = OrderedDict()
        self._answers: OrderedDict[str, Answers] = OrderedDict()

    @cached_property
    def _graph(self) -> Graph | None:
        """None where it can't be traced, or writes over what is to be seen."""
        network = self.network
        shape = (network.channels, *network.input_size)
        with self._making:
            traced = network.graph(shape)
            made = None if traced is None else lean(traced, network.feed(torch.zeros(1, *shape)))
        return None if made is None or made.writes else made

    @cached_property
    def layers(self) -> dict[str, Layer]:
        """Those that are maps or vectors, in the order of the graph."""
        return {name: layer for name, layer in self.network.layers.items() if len(layer.shape) in (1, 3)}

    @cached_property
    def stages(self) -> dict[str, str]:
        """By what the strip folds each of them."""
        return stages(self.layers)

    @cached_property
    def aliases(self) -> dict[str, list[str]]:
        """The other names that each of them has, if any."""
        found: dict[str, list[str]] = {}
        for name in self.network.layers.names:
            own = self.network.layers[name].name
            if own != name:
                found.setdefault(own, []).append(name)
        return found

    def layer(self, name: str) -> Layer:
        """That of this name or alias. Raises LayerError where there is none of maps or a vector."""
        layer = self.network.layers[name]
        if layer.name not in self.layers:
            raise LayerError(f"layer {name!r} has the shape {layer.shape}; choose one of maps (C, H, W) or a vector")
        return layer

    def target(self, text: str) -> Target:
        """A target by its words; never one with a mask, which would be a file. Raises TargetError."""
        network = self.network
        return Grammar(network.labels, network.layers, lambda: network.classes, _no_masks).parse(text)

    # Looking

    def look(self, image: Tensor, layer: str | None = None) -> tuple[Answers, Tensor | None]:
        """The answers to an image `(C, H, W)`, and a layer's maps `(C, h, w)` if one is named; nothing is kept."""
        own: tuple[str, ...] = () if layer is None else (self.layer(layer).name,)
        answers = self._run(self.network.feed(image[None]), own, whole=True)
        return answers, next((_as_maps(answers.layers[name]) for name in own), None)

    def answers(self, id: str, image: Tensor) -> Answers:
        """The answers to an image, kept."""
        with self._lock:
            known = self._answers.get(id)
        if known is None:
            known = self._run(self.network.feed(image[None]), (), whole=True)
            with self._lock:
                self._answers[id] = known
                if len(self._answers) > _KEPT_ANSWERS:
                    self._answers.popitem(last=False)
        return known

    def maps(self, id: str, image: Tensor, layer: str) -> Tensor:
        """The maps `(C, h, w)` of a layer, kept; a vector's are of one place."""
        own = self.layer(layer).name
        with self._lock:
            known = self._maps.get((id, own))
            if known is not None:
                self._maps.move_to_end((id, own))
                return known
        made = _as_maps(self._run(self.network.feed(image[None]), (own,), whole=False).layers[own])
        with self._lock:
            self._maps[id, own] = made
            while len(self._maps) > 1 and sum(each.nbytes for each in self._maps.values()) > _KEPT_BYTES:
                self._maps.popitem(last=False)
        return made

    def look_at(self, image: Tensor, target: Target) -> Answers:
        """The answers to an image, with the layers that a target asks about."""
        return self._run(self.network.feed(image[None]), target.layers, whole=True)

    def covered(self, image: Tensor, box: Box, fill: Fill, target: Target) -> Answers:
        """The same with a rectangle of the image covered."""
        return self._run(Cover(self.network, image, fill).whole([box]), target.layers, whole=True)

    def gradient(self, image: Tensor, target: Target, rule: Rule) -> Tensor:
        """That of a target by each pixel. Raises RuleError."""
        with turn():
            return self.network.gradient(image, target, rule=rule)

    def predictions(self, answers: Answers, top: int) -> list[Prediction]:
        """The most probable classes. Raises TargetError where the network has none."""
        if self.network.classes is None:
            raise TargetError(f"{self.network.name} has no classes to predict: its output is maps; look at its layers")
        values, indices = answers.probabilities[0].float().topk(min(top, answers.probabilities.shape[1]))
        return [
            Prediction(self.label(index), index, value)
            for value, index in zip(values.tolist(), indices.tolist(), strict=True)
        ]

    def label(self, index: int) -> str:
        """What a class is called."""
        return self.network.labels[index] if self.network.labels else f"class:{index}"

    def _run(self, fed: Tensor, layers: tuple[str, ...], *, whole: bool) -> Answers:
        with turn():
            output: Any
            if self._graph is None:
                # A copy, since the network may write into it.
                output, kept = self.network.run_fed(fed.clone(), layers, whole=whole)
            else:
                output, kept = TorchEngine(Part(self._graph, keep=layers, whole=whole))(fed)
        for name in layers:
            if name not in kept:
                raise LayerError(f"layer {name!r} is not run for this image: the path depends on what the network sees")
        return Answers(output, kept, self.network.reader, 1)


def _as_maps(value: Tensor) -> Tensor:
    """A batch of one as float32 maps on the processor that keep nothing else in memory."""
    one = value[0].detach().float().cpu()
    return (one if one.dim() == 3 else one.reshape(-1, 1, 1)).contiguous().clone()


def _no_masks(_: str) -> Mask:
    raise TargetError("masks are files and can't be named here; expected a class, or LAYER:CHANNEL@ROW,COLUMN")
