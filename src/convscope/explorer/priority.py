"""Threads that come second: what is computed for later gives way to what somebody waits for."""

import os
import sys
from contextlib import suppress
from threading import get_native_id

# Against one that does not come second, such a thread still has about a tenth of a core.
_NICE = 10


def come_second() -> bool:
    """Have this thread, and those that it starts, compute when the others leave it time; whether that can be had here.

    Only Linux knows it of a thread. It can't be taken back, and costs nothing where nobody else computes.
    """
    if sys.platform != "linux":
        return False
    own = get_native_id()
    with suppress(OSError):
        if os.getpriority(os.PRIO_PROCESS, own) < _NICE:
            os.setpriority(os.PRIO_PROCESS, own, _NICE)
        return True
    return False
