"""Holding a lease while work runs: a thread that renews, and tells when the claim was lost."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import redis

from contracts.job import Claim
from contracts.line import Line

_log = logging.getLogger("hippocamp.leases")


@contextmanager
def held(line: Line, claims: Sequence[Claim], *, lease_seconds: float) -> Iterator[threading.Event]:
    """Renew every claim three times per lease; the event is set once any of them is lost.

    A worker that is stopped or cut off renews nothing, so its jobs go back to the line; its late commit
    meets a higher fence and is refused. Losing Redis for less than a lease therefore costs nothing.
    """
    done, lost = threading.Event(), threading.Event()

    def renew() -> None:
        while not done.wait(lease_seconds / 3):
            try:
                kept = [line.renew(claim, lease_seconds=lease_seconds) for claim in claims]
            except redis.RedisError:
                _log.warning("lease.not_renewed", extra={"jobs": [c.id for c in claims]})
                continue
            if not all(kept):
                lost.set()

    thread = threading.Thread(target=renew, name="lease", daemon=True)
    thread.start()
    try:
        yield lost
    finally:
        done.set()
        thread.join(timeout=lease_seconds)
