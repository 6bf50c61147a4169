"""Free loopback ports that stay free until they are used, for a system beside others on the same machine.

A port that the kernel chooses may be chosen again, by another process or for an outgoing connection, before
the service that shall have it has started.
"""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
import threading
from functools import cache
from pathlib import Path

FIRST, LAST = 10_240, 32_767
"""Below those that Linux, macOS and the BSDs give to outgoing connections."""

_given: set[int] = set()
_lock = threading.Lock()


def free_ports(count: int) -> list[int]:
    """So many ports that nobody listens on, and that no other process of this user gets from here."""
    with _lock:
        return [_next() for _ in range(count)]


def _next() -> int:
    span = LAST - FIRST + 1
    start = 97 * os.getpid() + len(_given)
    for step in range(span):
        port = FIRST + (start + step) % span
        if port not in _given and _reserve(port) and _binds(port):
            _given.add(port)
            return port
    raise OSError(f"no free port from {FIRST} to {LAST}")


def _reserve(port: int) -> bool:
    """Lock the port's byte in a file that all processes share; the kernel unlocks it when this one ends."""
    try:
        fcntl.lockf(_ledger(os.getpid()), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    return True


@cache
def _ledger(pid: int) -> int:  # noqa: ARG001  a forked child holds none of its parent's locks
    """Open until the process ends: closing it once would give up all its locks."""
    return os.open(
        Path(tempfile.gettempdir()) / f"hippocamp-ports-{os.getuid()}", os.O_RDWR | os.O_CREAT, 0o600
    )


def _binds(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
