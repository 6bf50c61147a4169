"""Keeping freed memory in the process: the next head needs just as much of it."""

from __future__ import annotations

import ctypes
from functools import cache

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""glibc's malloc.h."""

LARGEST = 32 << 20
"""Bytes up to which a block comes from the heap: every activation, no whole volume; glibc's maximum."""

KEPT = 512 << 20


@cache
def keep_freed_memory() -> None:
    """Save the quarter of the network's time in which the kernel clears pages; does nothing without glibc."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(M_MMAP_THRESHOLD, LARGEST)
        libc.mallopt(M_TRIM_THRESHOLD, KEPT)
