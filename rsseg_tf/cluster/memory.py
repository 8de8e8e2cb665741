"""Memory that a worker keeps for its next arrays, in place of giving it back after each."""

from __future__ import annotations

import ctypes
import platform

_HEAP_BYTES = 32 << 20
"""The most that glibc takes for arrays on the heap: what it comes to by itself where nobody asks for less."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h


def keep_memory() -> bool:
    """Let glibc keep up to 32 MB of free memory in this process, and return whether it does.

    Dask's nannies start workers with `MALLOC_TRIM_THRESHOLD_=65536`. Any value ends glibc's own adaptation, so that
    every array of 128 KB or more is mapped for itself, cleared by the system page by page, and unmapped again: with
    tiles of 256 × 256 pixels a seventh of a worker's time. See mallopt(3).
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all([mallopt(option, _HEAP_BYTES) for option in (_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD)])
