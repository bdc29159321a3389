"""Memory that goes back to the system when work has ended."""

import ctypes
import gc
from collections.abc import Callable
from contextlib import suppress
from functools import cache


def give_back() -> None:
    """Give back what is free: the C library keeps hundreds of megabytes for the next work, which may never come."""
    gc.collect()
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Callable[[int], int] | None:
    """What does it in the GNU C library; others give back by themselves, or not at all."""
    with suppress(OSError, AttributeError, TypeError):
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
        return trim
    return None
