"""Where the logits are in what a module returns."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from convscope.errors import NetworkError


@dataclass(frozen=True)
class OutputPart:
    """Takes one part, by key, index or attribute, out of a dict, tuple or ModelOutput.

    >>> import torch
    >>> OutputPart("logits")({"logits": torch.ones(1, 2), "features": torch.ones(1, 8)})
    tensor([[1., 1.]])
    """

    key: str | int

    def __call__(self, output: Any) -> Tensor:
        """The part. Raises NetworkError, with the keys there are, if it isn't there or is no tensor."""
        try:
            part = output[self.key]
        except (KeyError, IndexError, TypeError):
            part = getattr(output, str(self.key), None)
        if isinstance(output, Tensor) or not isinstance(part, Tensor):
            raise NetworkError(
                f"the network returns {_described(output)}; expected its logits under output = {self.key!r}"
            )
        return part


def _described(output: Any) -> str:
    if isinstance(output, Tensor):
        return "a plain tensor, which needs no output"
    if isinstance(output, Mapping):
        return f"a dict with the keys {', '.join(map(str, output))}"
    if isinstance(output, tuple | list):
        return f"a {type(output).__name__} of {len(output)}"
    return f"a {type(output).__name__}"
