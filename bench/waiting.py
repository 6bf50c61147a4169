"""Waiting for a running system, with an end."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(done: Callable[[], bool], what: str, *, seconds: float = 300, every: float = 0.1) -> None:
    """Return once `done`; SystemExit, which says what was waited for, when that takes longer."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise SystemExit(f"after {seconds:g} s still waiting for {what}")
        time.sleep(every)
