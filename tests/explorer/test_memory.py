"""Memory that goes back."""

import gc
import sys
from pathlib import Path

import pytest
import torch

from convscope.explorer.memory import _trim, give_back, settle

_COUNT, _SIZE = 1500, 25_000


def _resident() -> float:
    """Megabytes of this process that are in memory."""
    line = next(each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith("VmRSS"))
    return int(line.split()[1]) / 1000


@pytest.mark.skipif(sys.platform != "linux", reason="only there it is known how much a process holds")
def test_what_is_free_goes_back() -> None:
    if _trim() is None:
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
    before = gc.get_freeze_count()
    try:
        settle()
        assert gc.get_freeze_count() > before + 10_000
        assert len(gc.get_objects()) < 10_000
    finally:
        gc.unfreeze()
