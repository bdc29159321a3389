"""Memory known before it runs out."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tests.synthesis.networks import small

import convscope as cs
from convscope.errors import NetworkError
from convscope.network import memory
from convscope.network.memory import bytes_free, bytes_needed, check_memory

_MEASURED = """
import sys, torch, convscope as cs
from convscope.network.differentiable import Differentiable
from convscope.network.memory import bytes_needed
net = cs.load("efficientnet-lite0")
def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) * 1024
estimate = bytes_needed(net, (3, 448, 448), 6)
before = peak()
run = Differentiable(net, (3, 448, 448))
batch = torch.rand(6, 3, 448, 448).requires_grad_()
torch.autograd.grad(run(batch).logits.sum(), batch)
print((peak() - before) / estimate)
"""


def test_it_grows_with_the_area_and_the_count() -> None:
    net = small()
    one = bytes_needed(net, (3, 24, 24), 1)
    assert bytes_needed(net, (3, 48, 24), 3) == pytest.approx(6 * one, rel=0.01)
    assert 0 < bytes_needed(net, (3, 24, 24), 1, layers=("0",)) < one


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak of memory from Linux")
def test_it_is_near_what_passes_take() -> None:
    ran = subprocess.run([sys.executable, "-c", _MEASURED], capture_output=True, text=True, check=True)
    assert 0.4 < float(ran.stdout) < 1.2


def test_too_much_is_refused_with_what_would_do(monkeypatch: pytest.MonkeyPatch) -> None:
    net = small()
    free = bytes_needed(net, (3, 24, 24), 4)
    monkeypatch.setattr(memory, "bytes_free", lambda device: 2 * free)
    check_memory(net, (3, 24, 24), 4)
    with pytest.raises(NetworkError, match=r"4 of 240 × 240 through .* at most 32 × 32"):
        check_memory(net, (3, 240, 240), 4)


def test_what_is_free() -> None:
    free = bytes_free(torch.device("cpu"))
    if free is not None:
        assert 2**20 < free < 2**50
    assert bytes_free(torch.device("meta")) is None


def test_a_container_has_its_own_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:

    folder = tmp_path
    (folder / "memory.max").write_text("1000000\n")
    (folder / "memory.current").write_text("400000\n")
    monkeypatch.setattr(memory, "_CGROUP", folder)
    assert bytes_free(torch.device("cpu")) == 600000
    (folder / "memory.max").write_text("max\n")
    assert bytes_free(torch.device("cpu")) != 600000


def test_networks_that_cannot_be_traced_are_not_refused() -> None:
    class Wild(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if float(x.mean()) > 1e9 else x.mean(dim=(2, 3))

    assert bytes_needed(cs.Network(Wild(), input_size=8), (3, 8, 8), 1) == 0
