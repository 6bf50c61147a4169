"""Keeping freed memory in the process: the next head needs just as much of it."""

from __future__ import annotations

import ctypes
from functools import cache

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""glibc's malloc.h."""

LARGEST = 32 << 20
"""Bytes up to which a block comes from the heap: every activation, but not a whole volume; glibc's maximum."""

KEPT = 512 << 20


@cache
def keep_freed_memory() -> None:
    """A quarter of the network's time goes into pages the kernel has to clear; nothing where libc is not glibc."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(M_MMAP_THRESHOLD, LARGEST)
        libc.mallopt(M_TRIM_THRESHOLD, KEPT)
