"""A network with averages in place of its max pooling; the module stays as it is."""

from dataclasses import replace

import torch.nn.functional as F

from convscope.errors import NetworkError
from convscope.network.graph import Graph
from convscope.network.network import Network
from convscope.network.ops import name_of, operation_of
from convscope.network.runner import Runnable
from convscope.network.trace import Node


class AveragePooled(Network):
    """`network` run with the mean of each window in place of its maximum, under the same names of layers.

    Gradients then go to every place of a window. Raises NetworkError, where it is first run, for a network that can't
    be traced or has no max pooling.
    """

    def __init__(self, network: Network) -> None:
        vars(self).update(vars(network))
        self._pooled: dict[Graph, Graph] = {}

    def _runnable(self, shape: tuple[int, ...]) -> Runnable:
        runnable = super()._runnable(shape)
        if not isinstance(runnable.graph, Graph):
            raise NetworkError(f"{self.name} can't be traced, so its pooling can't be replaced: leave it at max")
        graph = runnable.graph
        if graph not in self._pooled:
            nodes = [_averaged(node) for node in graph.nodes]
            if nodes == graph.nodes:
                raise NetworkError(f"{self.name} has no max pooling to be replaced by averages: leave it at max")
            self._pooled[graph] = graph.rewritten(nodes, graph.output)
        return replace(runnable, graph=self._pooled[graph])


def _averaged(node: Node) -> Node:
    """A call of max pooling as one of average pooling over the same windows, padding not counted."""
    operation = operation_of(node.function)
    if operation is None or name_of(node.function) != "max_pool2d":
        return node
    call = operation.bind(node.args, node.kwargs)
    if call["dilation"] not in (1, (1, 1), [1, 1]) or call["return_indices"]:
        return node
    kept = {name: call[name] for name in ("kernel_size", "stride", "padding", "ceil_mode")}
    return replace(node, function=F.avg_pool2d, args=(call["input"],), kwargs={**kept, "count_include_pad": False})
