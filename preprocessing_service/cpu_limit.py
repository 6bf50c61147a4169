"""A bound on the computing time of one job that ends it with a code instead of its process with a kill."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from contracts.errors import TooLarge


@contextmanager
def within_cpu(seconds: float) -> Iterator[None]:
    """TooLarge once the process has computed for `seconds` in here; 0 sets no limit.

    The kernel counts (ITIMER_PROF: user and system time of all threads), Python raises when the running C
    call returns; one that never does meets the wall time limit and dies. Only main threads can be stopped.
    """
    if not seconds or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> NoReturn:
        raise TooLarge(
            f"preparing the volume takes more than {seconds:g} s of computing", limit_seconds=seconds
        )

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
