"""Memory that goes back to the system when work has ended, and what is not looked through for it."""

import ctypes
import gc
from collections.abc import Callable
from contextlib import suppress
from functools import cache

# By the name of the setting in the GNU C library's malloc.h, and how many are enough.
_M_ARENA_MAX, _ARENAS = -8, 2


def share() -> None:
    """Have threads share what memory they free, before there are any.

    By itself the C library keeps for nearly each thread as much as that ever needed: a gigabyte for eight who look.
    """
    setting = _of_the_library("mallopt")
    if setting is not None:
        setting(_M_ARENA_MAX, _ARENAS)


def give_back() -> None:
    """Give back what is free: the C library keeps hundreds of megabytes for the next work, which may never come."""
    gc.collect()
    trim = _of_the_library("malloc_trim")
    if trim is not None:
        trim(0)


def settle() -> None:
    """Give back what getting ready took, and have what is there now stay out of later collections.

    All threads stand still for these: once torch is imported and a network loaded, for a tenth of a second.
    """
    give_back()
    gc.freeze()


@cache
def _of_the_library(name: str) -> Callable[..., int] | None:
    """A function that only the GNU C library has; others do it by themselves, or not at all."""
    with suppress(OSError, AttributeError, TypeError):
        found: Callable[..., int] = getattr(ctypes.CDLL(None), name)
        return found if hasattr(ctypes.CDLL(None), "gnu_get_libc_version") else None
    return None
