"""TensorBoard's logs of a training."""

import os
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from convscope.errors import MissingExtra


class Scalars:
    """Writes numbers by name and step to a `folder`; to nowhere without one.

    Raises MissingExtra where TensorBoard is not installed.
    """

    def __init__(self, folder: str | os.PathLike[str] | None) -> None:
        self._writer: Any = None
        if folder is None:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingExtra("logs for TensorBoard", extra="tensorboard") from error
        self._writer = SummaryWriter(os.fspath(folder))

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """One number each."""
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(f"loss/{name}", value, step)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()
