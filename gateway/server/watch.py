"""Whether this process is still of use: its event loop turns, and the process that started it is there."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import threading
import time

from prometheus_client import Histogram

_log = logging.getLogger("hippocamp.gateway")
_delay = Histogram(
    "hippocamp_loop_delay_seconds",
    "How much later than it asked the event loop was called back; every client waits that long",
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
)
_EVERY_SECONDS = 1.0
MOST_SECONDS = 60.0
"""A loop that has stood still for this long will not turn again; the supervisor starts another process."""


class Watch:
    """`run` is a task of the loop, `start` the thread that looks at it."""

    def __init__(self, most_seconds: float = MOST_SECONDS) -> None:
        self._most, self._parent = most_seconds, multiprocessing.parent_process()
        self._turned = time.monotonic()

    async def run(self) -> None:
        """Turn, and measure how late."""
        while True:
            self._turned = time.monotonic()
            await asyncio.sleep(_EVERY_SECONDS)
            _delay.observe(max(0.0, time.monotonic() - self._turned - _EVERY_SECONDS))

    def start(self) -> None:
        """Look every second from a thread."""
        threading.Thread(target=self._look, name="watch", daemon=True).start()

    def _look(self) -> None:
        late = 0
        while late < 3:  # in a row: a process that was stopped and goes on has not turned yet
            time.sleep(_EVERY_SECONDS)
            if self._parent and not self._parent.is_alive():
                os.kill(os.getpid(), signal.SIGTERM)
                return
            late = late + 1 if time.monotonic() - self._turned > self._most else 0
        _log.critical("process.stands_still", extra={"seconds": self._most})
        os.kill(os.getpid(), signal.SIGKILL)
