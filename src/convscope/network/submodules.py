"""The stand-in for a graph where a network can't be traced: its submodules are its layers."""

from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import Tensor, nn

from convscope.network.replica import Replica, observing
from convscope.network.trace import tensors_in


class _Outputs:
    """Keeps the output of each submodule's first call, of those asked for; `keep=None` keeps all."""

    def __init__(self, keep: Collection[str] | None) -> None:
        self._keep = keep
        self._seen: set[str] = set()
        self.kept: dict[str, Tensor] = {}

    def called(self, path: str, module: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        result = forward(*args, **kwargs)
        value = next(tensors_in(result), None)
        if path and path not in self._seen and value is not None:
            self._seen.add(path)
            if self._keep is None or path in self._keep:
                self.kept[path] = value.clone()
        return result


class Submodules:
    """Runs the replica itself, observing it. Copies what it keeps, for later calls may overwrite it in place."""

    writes = True

    def __init__(self, replica: Replica) -> None:
        self._replica = replica

    def run(
        self, image: Tensor, keep: Collection[str] | None = (), *, whole: bool = True
    ) -> tuple[Any, dict[str, Tensor]]:
        """What the network returns for a batch `(N, C, H, W)`, and the first output of each submodule in `keep`."""
        outputs = _Outputs(keep)
        with observing(outputs):
            output = self._replica(image)
        return output if whole else None, outputs.kept

    def shapes(self, image: Tensor) -> dict[str, tuple[int, ...]]:
        """Each submodule's output shape without the batch, in the order in which they finish."""
        with torch.no_grad():
            _, kept = self.run(image, None)
        return {path: tuple(value.shape[1:]) for path, value in kept.items()}
