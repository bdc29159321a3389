"""Memory that goes back."""

import gc
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from convscope.explorer.memory import _of_the_library, give_back, settle

_COUNT, _SIZE = 1500, 25_000


def _resident() -> float:
    """Megabytes of this process that are in memory."""
    line = next(each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith("VmRSS"))
    return int(line.split()[1]) / 1000


@pytest.mark.skipif(sys.platform != "linux", reason="only there it is known how much a process holds")
def test_what_is_free_goes_back() -> None:
    if _of_the_library("malloc_trim") is None:
        pytest.skip("this C library has no malloc_trim")
    made = [torch.ones(_SIZE) for _ in range(_COUNT)]
    # What is kept between them keeps the rest from going by itself.
    kept = made[::20]
    full = _resident()
    del made
    give_back()
    freed = 4e-6 * _SIZE * (_COUNT - len(kept))
    assert full - _resident() > 0.8 * freed
    assert all(bool((each == 1).all()) for each in kept)


def test_what_stays_is_not_looked_through() -> None:
    gc.unfreeze()
    there = len(gc.get_objects())
    try:
        settle()
        assert gc.get_freeze_count() > 0.5 * there > 10_000
        assert len(gc.get_objects()) < 10_000
    finally:
        gc.unfreeze()


_ARENAS = """
import ctypes, threading
from convscope.explorer.memory import share
if {shared}:
    share()
there = threading.Barrier(7)
def work():
    made = [bytes(1000) for _ in range(1000)]
    there.wait()
    there.wait()
for _ in range(6):
    threading.Thread(target=work).start()
there.wait()
ctypes.CDLL(None).malloc_stats()
there.wait()
"""


def test_threads_share_what_they_free() -> None:
    if _of_the_library("mallopt") is None:
        pytest.skip("this C library has no mallopt")

    def arenas(*, shared: bool) -> int:
        program = [sys.executable, "-c", _ARENAS.format(shared=shared)]
        return subprocess.run(program, capture_output=True, text=True, check=True).stderr.count("Arena ")

    assert arenas(shared=True) == 2 < arenas(shared=False)
