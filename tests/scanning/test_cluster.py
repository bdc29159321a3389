"""A scan on a cluster of two nodes on this machine: the same as on one, also when workers are killed."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.scanning.little import little_network, little_pictures, scan_little

import convscope as cs

ray = pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """That of a cluster of two nodes with a core each."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    try:
        yield cluster.address
    finally:
        cluster.shutdown()  # type: ignore[no-untyped-call]


def check_same(one: cs.Scan, other: cs.Scan) -> None:
    assert one.images.names == other.images.names
    for layer in one.layers:
        np.testing.assert_allclose(one.codes(layer), other.codes(layer), atol=1e-6)
        for name, value in vars(one.top(layer)).items():
            assert getattr(other.top(layer), name).tobytes() == value.tobytes()
        np.testing.assert_allclose(one.statistics(layer).mean, other.statistics(layer).mean, rtol=1e-12)
        assert np.array_equal(one.statistics(layer).histogram, other.statistics(layer).histogram)


def test_a_cluster_keeps_the_same(address: str, tmp_path: Path) -> None:
    folder = little_pictures(tmp_path / "pictures", 100)
    one = scan_little(folder, tmp_path / "one.scan")
    check_same(one, scan_little(folder, tmp_path / "two.scan", ray=address))


def test_a_worker_that_is_killed_is_missed_by_nobody(address: str, tmp_path: Path) -> None:
    folder = little_pictures(tmp_path / "pictures", 400)
    one = scan_little(folder, tmp_path / "one.scan")
    killed: list[int] = []

    def kill(progress: cs.Progress) -> None:
        if len(killed) < 2 and progress.done > 100 * (1 + len(killed)):
            killed.append(kill_one_worker())

    two = scan_little(folder, tmp_path / "two.scan", ray=address, progress=kill)
    assert len(killed) == 2
    assert len(two) == 400
    check_same(one, two)


def test_pictures_in_memory_can_not_be_read_elsewhere(tmp_path: Path) -> None:
    import torch
    from torch.utils.data import TensorDataset

    with pytest.raises(cs.ImageError, match="other processes can't read these pictures"):
        cs.scan(little_network(), TensorDataset(torch.rand(3, 3, 24, 24)), out=tmp_path / "x.scan", ray="local")


def kill_one_worker() -> int:
    """Kill a process that scans, by what Ray calls it."""
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            try:
                title = (process / "cmdline").read_text()
            except OSError:
                continue
            if title.startswith("ray::ClusterWorker"):
                os.kill(int(process.name), signal.SIGKILL)
                return int(process.name)
    raise AssertionError("no worker is running")
