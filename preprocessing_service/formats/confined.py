"""A decoder written in C++ runs in a forked child: what a hostile stream breaks is the child alone.

The child has no file descriptor and may open none (so no connection either), little memory and little time;
its one way out is memory that it shares with us.
"""

from __future__ import annotations

import mmap
import os
import resource
import select
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

CPU_SECONDS, WALL_SECONDS = 10, 120
"""For one frame, which takes milliseconds."""

MEMORY = 256 << 20
"""Bytes beyond what the process has mapped, and beyond copies of the answer."""

COPIES = 16
_BLOCKED = frozenset((signal.SIGTERM, signal.SIGINT, signal.SIGPROF, signal.SIGALRM))
"""Signals whose handlers are ours, which the child must never run."""


class Died(Exception):  # noqa: N818  named for what happened
    """The child ended without an answer."""


def confined(work: Callable[[], bytes], size: int) -> bytes:
    """What `work` returns, `size` bytes; Died when it raises, crashes, takes too long or has another size."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
    try:
        with mmap.mmap(-1, size) as shared:
            child = os.fork()
            if not child:
                _work(work, shared)
            _wait(child)
            return shared[:]
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(work: Callable[[], bytes], shared: mmap.mmap) -> NoReturn:
    status = 1
    try:
        _confine(len(shared))
        shared[:] = work()
        status = 0
    finally:
        os._exit(status)  # nothing of the parent's may unwind here


def _confine(size: int) -> None:
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE
    most = mapped + MEMORY + COPIES * size
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            os.close(int(descriptor.name))
    for what, limit in (
        (resource.RLIMIT_AS, most),
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_NOFILE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (limit, limit))


def _wait(child: int) -> None:
    """Until the child has ended; Died unless it ended well."""
    done = os.pidfd_open(child)
    try:
        poll = select.poll()
        poll.register(done, select.POLLIN)
        poll.poll(WALL_SECONDS * 1000)
    finally:
        os.close(done)
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)  # it has ended, or its time is over
        _, status = os.waitpid(child, 0)
    if status:
        raise Died
