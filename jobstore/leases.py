"""Holding a lease while work runs: a thread that renews, and the way back for a worker told to stop."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import redis

from contracts.job import Claim
from jobstore.store import JobStore, LeaseLost
from runtime.redis_failures import about

_log = logging.getLogger("hippocamp.leases")


@dataclass(eq=False)
class _Hold:
    """Claims this process works on, until `ends` on the monotonic clock."""

    job_store: JobStore
    claims: list[Claim]
    ends: float
    done: threading.Event = field(default_factory=threading.Event)
    lost: threading.Event = field(default_factory=threading.Event)

    def renew_until_done(self, lease_seconds: float) -> None:
        while not self.done.wait(lease_seconds / 3) and time.monotonic() < self.ends:
            for claim in list(self.claims):
                try:
                    kept = self.job_store.renew(claim, lease_seconds=lease_seconds)
                except redis.RedisError as error:
                    _log.warning("lease.not_renewed", extra={**claim.context, **about(error)})
                    continue
                if not kept:
                    self.claims.remove(claim)
                    self.lost.set()


_holds: set[_Hold] = set()


@contextmanager
def held(
    job_store: JobStore, claims: Sequence[Claim], *, lease_seconds: float, most_seconds: float = 3600
) -> Iterator[threading.Event]:
    """Renew every claim three times per lease, for `most_seconds` at most; the event: one of them is lost.

    A worker that is stopped, cut off or hung past its limit renews nothing, so its jobs return to the queue;
    its late commit meets a higher fence and is refused. Losing Redis for less than a lease costs nothing.
    """
    hold = _Hold(job_store, list(claims), time.monotonic() + most_seconds)
    thread = threading.Thread(target=hold.renew_until_done, args=(lease_seconds,), name="lease", daemon=True)
    _holds.add(hold)
    thread.start()
    try:
        yield hold.lost
    finally:
        hold.done.set()
        _holds.discard(hold)
        thread.join(timeout=lease_seconds)


def hand_back(note: str) -> None:
    """Return all that this process holds to the job store, for a process about to die.

    The attempt is given back too, unless the work ran past its limit: then the job itself is suspect.
    """
    for hold in list(_holds):
        hold.done.set()
        overdue = time.monotonic() >= hold.ends
        for claim in list(hold.claims):
            # RuntimeError: the signal may have met the main thread in the middle of writing a log line.
            with suppress(LeaseLost, redis.RedisError, RuntimeError):
                hold.job_store.release(claim, note, counts=overdue)
                _log.info("claim.handed_back", extra={**claim.context, "counted": overdue})
