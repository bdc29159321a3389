"""The shards of a scan on a Ray cluster: the same work on many machines, kept by one."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from convscope.errors import ImageError, MissingExtra
from convscope.image.recipe import JSON
from convscope.image.sources import Entry, source_from
from convscope.network.network import Network
from convscope.progress import Steps
from convscope.scanning.header import Header
from convscope.scanning.plan import Shard, read_part
from convscope.scanning.reading import Readers
from convscope.scanning.store import Done, Store
from convscope.scanning.work import THUMBNAIL, Worker

_AHEAD = 2
"""Shards that wait at each worker: one to do, one to go on with."""


def run_on_ray(
    address: str,
    folder: Path,
    network: Network,
    header: Header,
    number: int,
    store: Store,
    left: list[Shard],
    steps: Steps,
) -> None:
    """Do the shards that are left of the pass `number` on a cluster, and keep each as it comes.

    `address` is "local" or that of a cluster. A worker is one process with as many threads as the scan has always had,
    on a GPU of its own where the network is on one; it reads its pictures itself. Ray starts one that died anew, and
    has it do its shards again; what is kept is known by the shard's number, so that nothing counts twice.

    Raises
    ------
    MissingExtra
        The extra `ray` is not installed.
    ImageError
        The pictures are no files that other machines could read.
    """
    if header.source is None:
        raise ImageError("other processes can't read these pictures; scan files, or without ray=")
    with _connected(address) as ray:
        # Ray lets go of what nobody holds here, and workers that it starts anew need it again.
        given = ray.put(network)
        workers = _workers(ray, network.device.type == "cuda", given, header, number)
        waiting, running = iter(left), dict[Any, tuple[Any, Shard]]()

        def give(worker: Any) -> None:
            shard = next(waiting, None)
            if shard is not None:
                entries = read_part(folder, shard.part, shard.first, shard.count)
                running[worker.done.remote(shard, entries)] = worker, shard

        for worker in workers * _AHEAD:
            give(worker)
        while running:
            [ready], _ = ray.wait([*running], num_returns=1)
            worker, shard = running.pop(ready)
            done: Done = ray.get(ready)
            give(worker)
            store.commit(done)
            steps.done(shard.count)


class ClusterWorker:
    """What runs on the cluster: does shards of one pass."""

    def __init__(self, network: Network, header: Header, number: int, spec: dict[str, JSON]) -> None:
        torch.set_num_threads(header.threads)
        self._readers = Readers(
            source_from(spec), network.preparation, workers=0, loader=network.loader, thumbnail=THUMBNAIL
        )
        self._worker = Worker(network, header, number)

    def done(self, shard: Shard, entries: list[Entry]) -> Done:
        """One shard, from its pictures."""
        return self._worker.done(shard, self._readers.read(entries), lambda count: None)


def _workers(ray: Any, gpu: bool, given: Any, header: Header, number: int) -> list[Any]:
    """As many as the cluster has room for, given the network; each with a GPU, or with the scan's threads."""
    there = ray.cluster_resources()
    count = int(there.get("GPU", 0)) if gpu else int(there.get("CPU", 1)) // header.threads
    actor = ray.remote(
        num_cpus=min(header.threads, int(there.get("CPU", 1))),
        num_gpus=1 if gpu else 0,
        max_restarts=-1,
        max_task_retries=-1,
    )(ClusterWorker)
    return [actor.remote(given, header, number, header.source) for _ in range(max(1, count))]


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Ray, connected to the cluster at that address, or to one of this machine; as it was afterwards."""
    # What Ray would tell its makers of its use stays here.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise MissingExtra("a cluster", extra="ray") from error
    if ray.is_initialized():
        yield ray
        return
    where: dict[str, Any] = {"include_dashboard": False} if address == "local" else {"address": address}
    ray.init(**where, log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield ray
    finally:
        ray.shutdown()
