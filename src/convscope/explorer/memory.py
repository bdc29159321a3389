"""Memory that goes back to the system when work has ended, and what is not looked through for it."""

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


def settle() -> None:
    """Have what is there now stay out of later collections, for which all threads stand still.

    Once torch is imported and a network loaded, going through all of that takes a tenth of a second.
    """
    gc.collect()
    gc.freeze()


@cache
def _trim() -> Callable[[int], int] | None:
    """What does it in the GNU C library; others give back by themselves, or not at all."""
    with suppress(OSError, AttributeError, TypeError):
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
        return trim
    return None
