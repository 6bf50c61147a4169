"""Waiting for what other processes do; the end is so far away that only a fault meets it, no busy machine."""

from __future__ import annotations

import time
from collections.abc import Callable

MOST_WAIT_SECONDS = 180.0
"""It costs nothing when all is well."""


def eventually(
    check: Callable[[], object], *, within: float = MOST_WAIT_SECONDS, every: float = 0.02
) -> None:
    """Return once it holds; AssertionError after the time."""
    ends = time.monotonic() + within
    while not check():
        assert time.monotonic() < ends, f"not within {within:g} s"
        time.sleep(every)
