"""What one upload may cost, and how a process holds itself to that before it looks at the bytes."""

from __future__ import annotations

import os
import resource
import signal
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import NoReturn

from contracts.errors import TooLarge

FIRST_AFTER = 2
"""Seconds of computing between the polite end (TooLarge) and the kernel's."""

HEADROOM = 16 << 20
"""Bytes that what is stored may have besides the voxels: headers, archive directories."""


@dataclass(frozen=True)
class Limits:
    """memory_bytes: address space. cpu_seconds, wall_seconds: of one upload. at_once: uploads a process.

    wait_seconds: how long an upload waits until it is read.
    """

    memory_bytes: int = 1 << 30
    cpu_seconds: int = 30
    wall_seconds: float = 90
    at_once: int = 4
    wait_seconds: float = 5

    def to_json(self) -> dict[str, float]:
        """Plain data, for the process's command line."""
        return asdict(self)


def end_politely() -> None:
    """At the limit of computing time this process, or its fork, raises TooLarge where it is."""
    signal.signal(signal.SIGXCPU, _stop)


def confine(limits: Limits, *, most_bytes: int, keep: set[int]) -> None:
    """From here on this process may compute, and read and write what it has open; it can open nothing.

    Its parent called `end_politely`, which costs less once than in every child.
    keep: descriptors that stay open besides the three standard ones; all others are closed.
    most_bytes: of what it may write to a file.
    """
    with suppress(OSError):
        _write("/proc/self/oom_score_adj", b"1000")  # when memory ends, this process goes first
    most = limits.memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_seconds, limits.cpu_seconds + FIRST_AFTER))
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes + HEADROOM, most_bytes + HEADROOM))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    ends = max(keep) + 1
    for handle in set(range(3, ends)) - keep:
        with suppress(OSError):
            os.close(handle)
    os.closerange(ends, ends + 64)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))


def _write(path: str, data: bytes) -> None:
    """As `Path.write_bytes`, which touches ten times as many pages of the parent's."""
    handle = os.open(path, os.O_WRONLY)
    try:
        os.write(handle, data)
    finally:
        os.close(handle)


def _stop(*_: object) -> NoReturn:
    raise TooLarge("Reading the upload takes too much computing time; send a smaller or plainer file")
