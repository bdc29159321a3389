"""A network run so that gradients flow back to its image, as fast as that can be: once made, called many times."""

import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from convscope.network.answers import Answers
from convscope.network.engine import lean
from convscope.network.graph import Graph
from convscope.network.network import Network
from convscope.network.redirection import redirected
from convscope.network.trace import map_leaves


class Differentiable:
    """Runs `network` on batches of images of one `shape` `(C, H, W)`, and no further than what is asked needs.

    `layers` are those that its answers will hold, under the names asked for; `whole` says whether they hold the output,
    too. Batch norm is folded, values lie channels last and weights are constants: gradients are those of
    `Network.gradient` but for rounding. A network that can't be traced is run as it is. Weights that change later are
    not followed.

    Raises LayerError for a layer that it doesn't have.
    """

    def __init__(
        self, network: Network, shape: tuple[int, int, int], *, layers: Sequence[str] = (), whole: bool = True
    ) -> None:
        self._network, self._whole = network, whole
        known = network.layers_for(torch.zeros(shape)) if layers else {}
        self._layers = {name: known[name].name for name in layers}
        traced, usual = network.graph(shape), (network.channels, *network.input_size)
        if traced is not None and traced is network.graph(usual):
            # It is the graph of both sizes, and the smaller one makes it ready at less cost.
            shape = min(shape, usual, key=math.prod)
        graph = None if traced is None else lean(traced, network.feed(torch.zeros(1, *shape)))
        self.graph = None if graph is None or graph.writes else _frozen(graph)

    def __call__(self, batch: Tensor, *, redirect: bool = False) -> Answers:
        """What it answers to a batch `(N, C, H, W)`; gradients flow if the batch requires them.

        With `redirect`, an image whose gradient a rectifier would block as a whole gets one (see
        `convscope.network.redirection`).
        """
        with redirected() if redirect else nullcontext():
            return self.forward(batch, tuple(self._layers), self._whole)

    def forward(self, batch: Tensor, layers: Sequence[str], whole: bool) -> Answers:
        """The same for any layers, in the form that `convscope.network.differentiation` takes."""
        own = [self._layers.get(name, name) for name in layers]
        if self.graph is None:
            output, kept = self._network.run(batch, own, whole=whole)
        else:
            fed = self._network.feed(batch).contiguous(memory_format=torch.channels_last)
            output, kept = self.graph.run(fed, own, whole=whole)
        found = {name: kept[each] for name, each in zip(layers, own, strict=True) if each in kept}
        return Answers(output, found, self._network.reader, len(batch))


def _frozen(graph: Graph) -> Graph:
    """The graph with its weights as constants, which autograd has nothing to remember for."""

    def constant(leaf: Any) -> Any:
        return leaf.detach() if isinstance(leaf, Tensor) and leaf.requires_grad else leaf

    nodes = [
        replace(node, args=map_leaves(node.args, constant), kwargs=map_leaves(node.kwargs, constant),
                value=map_leaves(node.value, constant))
        for node in graph.nodes
    ]  # fmt: skip
    return graph.rewritten(nodes, graph.output)
