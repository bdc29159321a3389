"""Running a module on images of any size: traced at first need, or as it is where that can't be.

The graph of one size serves others, too, where it gives there what the module gives; else it is traced anew.
"""

from collections import OrderedDict
from dataclasses import dataclass, replace
from threading import RLock
from typing import Any

import torch
from torch import Tensor, nn

from convscope.errors import NetworkError
from convscope.network.graph import Graph, resized, trace
from convscope.network.layers import Layers, describe, describe_modules
from convscope.network.replica import Replica
from convscope.network.submodules import Submodules
from convscope.network.trace import Untraceable, record

# Traces kept at once: one for each size of image that is run.
_TRACES = 8


@dataclass(frozen=True)
class Runnable:
    """What runs the module on images of one size.

    `output` is what it returned for one of them; `untraceable` says why it is no graph, if it is none.
    """

    graph: Graph | Submodules
    layers: Layers
    output: Any
    untraceable: str | None = None


class Runner:
    """Runs a replica of `module`; may be used from several threads at once."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._replica = Replica(module)
        self._runnables: OrderedDict[tuple[int, ...], Runnable] = OrderedDict()
        self._lock = RLock()
        self._places, self._versions = self.state()

    @property
    def foreign_hooks(self) -> int:
        """How many hooks of the user's are not run."""
        return self._replica.foreign_hooks

    def at(self, shape: tuple[int, ...], like: Tensor) -> Runnable:
        """What runs images of this shape `(C, H, W)`, of the type and on the device of `like`.

        Raises NetworkError where the module can't run on them.
        """
        with self._lock:
            self._follow()
            if shape not in self._runnables:
                self._runnables[shape] = self._made(shape, like)
                while len(self._runnables) > _TRACES:
                    self._runnables.popitem(last=False)
            self._runnables.move_to_end(shape)
            return self._runnables[shape]

    def _follow(self) -> None:
        """Begin anew where the user's module has moved (`module.to(…)`) or trained since in a way we can't see."""
        places, versions = self.state()
        if places != self._places:
            self._replica = Replica(self._module)
            self._runnables.clear()
        elif versions != self._versions:
            self._replica.follow()
            stale = [key for key, each in self._runnables.items() if getattr(each.graph, "holds_weights", False)]
            for key in stale:
                del self._runnables[key]
        self._places, self._versions = places, versions

    def state(self) -> tuple[list[int], list[int]]:
        """Where the module's tensors are, and how often each was written to: other numbers, other weights."""
        kept = (each for module in self._module.modules() for each in (module._parameters, module._buffers))
        tensors = [tensor for each in kept for tensor in each.values() if tensor is not None]
        return [each.data_ptr() for each in tensors], [0 if each.is_inference() else each._version for each in tensors]

    def _made(self, shape: tuple[int, ...], like: Tensor) -> Runnable:
        graphs = [each.graph for each in self._runnables.values() if isinstance(each.graph, Graph)]
        for graph in dict.fromkeys(graphs):
            found = self._of_another_size(graph, shape, like)
            if found is not None:
                return found
        black = torch.zeros(1, *shape).to(like)
        try:
            graph = trace(self._replica, shape, like)
        except Exception as error:  # whatever the user's own code raises: it is run once more without being recorded
            return self._untraced(black, str(error) if isinstance(error, Untraceable) else repr(error))
        layers = describe(graph, self._replica.module)
        with torch.no_grad():
            output, _ = graph.run(black)
        graph.release()
        return Runnable(graph, layers, output)

    def _of_another_size(self, graph: Graph, shape: tuple[int, ...], like: Tensor) -> Runnable | None:
        """What runs images of this shape by a graph that was traced for others; None where it gives something else."""
        try:
            values, output = resized(graph, self._replica, shape, like)
        except Exception:  # whatever a shape that was made for another size makes a call raise
            return None
        sized = [replace(node, value=value) for node, value in zip(graph.nodes, values, strict=True)]
        return Runnable(graph, describe(graph.rewritten(sized, graph.output), self._replica.module), output)

    def _untraced(self, black: Tensor, reason: str) -> Runnable:
        submodules = Submodules(self._replica)
        try:
            with torch.no_grad():
                output, _ = submodules.run(black.clone())
            shapes = submodules.shapes(black.clone())
        except Exception as error:
            shape = tuple(black.shape[1:])
            raise NetworkError(
                f"the network can't run on an image of shape {shape}: {error}; check input_size, channels, the module"
            ) from error
        layers = describe_modules(record(self._replica, black, strict=False), self._replica.module, shapes)
        return Runnable(submodules, layers, output, reason)
