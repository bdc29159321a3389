"""Training shared by several processes, started by torchrun: each takes its part of every batch."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.distributed as distributed
from torch import Tensor, nn

from convscope.errors import NetworkError
from convscope.synthesis.fast_style.style_network import StyleNetwork

Item = TypeVar("Item")


class Sharing:
    """The processes at work: this one alone, or all of torch.distributed's group where there is one.

    A batch is cut into equal parts, and gradients are averaged: with the same batch in all, several processes learn
    what one alone would.
    """

    def __init__(self) -> None:
        together = distributed.is_available() and distributed.is_initialized()
        self.rank = distributed.get_rank() if together else 0
        self.count = distributed.get_world_size() if together else 1

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes files and tells how far they are."""
        return self.rank == 0

    def check(self, network: StyleNetwork, batch: int) -> None:
        """Raise NetworkError for what can't be shared so."""
        if batch % self.count:
            raise NetworkError(f"a batch of {batch} can't be shared by {self.count} processes; take a multiple of that")
        if self.count > 1 and network.architecture.norm == "batch":
            raise NetworkError("batch normalization takes a batch as a whole; train with one process, or by instance")

    def own(self, items: Sequence[Item]) -> Sequence[Item]:
        """This process's part of a batch."""
        each = len(items) // self.count
        return items[self.rank * each : (self.rank + 1) * each]

    def shared(self, network: StyleNetwork) -> nn.Module:
        """The network, whose gradients are then those of all processes together."""
        return network if self.count == 1 else nn.parallel.DistributedDataParallel(network)

    def mean(self, values: Tensor) -> Tensor:
        """Over all processes."""
        if self.count > 1:
            distributed.all_reduce(values)
            values /= self.count
        return values


@contextmanager
def together(device: str) -> Iterator[tuple[str, bool]]:
    """Joins the group that torchrun started this process for, if it did: the device to take, and whether it leads.

    Without torchrun it is the device asked for, and this process leads.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield device, True
        return
    graphics = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    own = f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if graphics else device
    distributed.init_process_group("nccl" if graphics else "gloo")
    try:
        yield own, distributed.get_rank() == 0
    finally:
        distributed.destroy_process_group()
