"""Another site's requests, one after the other, each over a connection of its own; how long each took."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from bench.hostile_clients.wire import Address

LIMIT_SECONDS = 10.0
"""A request that takes longer is given up and counts as this long."""
_EVERY_SECONDS = 0.02


@dataclass
class Waits:
    """Milliseconds of requests with a key, and of /livez and /readyz."""

    calls: list[float] = field(default_factory=list)
    health: list[float] = field(default_factory=list)
    failed: int = 0

    @property
    def p99(self) -> float:
        """Of the site's requests."""
        return quantile(self.calls, 0.99)


def quantile(values: list[float], share: float) -> float:
    """The least value that is not below so many of them; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def probe(at: Address, seconds: float) -> Waits:
    """Ask for `seconds`: lists of jobs, and every fifth time whether the gateway lives and is ready."""
    found, ends, turn = Waits(), time.monotonic() + seconds, 0
    while time.monotonic() < ends:
        turn += 1
        health = turn % 5 == 0
        path = ("/livez" if turn % 2 else "/readyz?only=line,blobs,audit") if health else "/v1/jobs?limit=1"
        took, good = _once(at, path)
        (found.health if health else found.calls).append(took)
        found.failed += not good
        time.sleep(_EVERY_SECONDS)
    return found


def _once(at: Address, path: str) -> tuple[float, bool]:
    began = time.monotonic()
    try:
        status, _ = at.ask(at.head("GET", path, "Connection: close"), seconds=LIMIT_SECONDS)
    except OSError:
        return LIMIT_SECONDS * 1000, False
    return (time.monotonic() - began) * 1000, status == 200
