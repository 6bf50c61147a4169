"""`Prefer: wait` (RFC 7240) on plain WSGI servers; behind the front no thread waits."""

from __future__ import annotations

import re
import time

import redis

from contracts.job import Job
from jobstore.store import JobStore

MOST_SECONDS = 60
_PREFER = re.compile(r"(?:^|[,;\s])wait\s*=\s*(\d{1,6})(?=$|[,;\s])")


def preferred_wait(prefer: str) -> int:
    """Seconds in a `Prefer: wait=N` header, at most MOST_SECONDS; 0 when it asks for nothing."""
    found = _PREFER.search(prefer)
    return min(int(found[1]), MOST_SECONDS) if found else 0


def until_ended(job_store: JobStore, job: Job, seconds: float) -> Job:
    """The job once it has ended, or as it is when the time ran out."""
    deadline, pause = time.monotonic() + seconds, 0.05
    while not job.state.is_terminal and time.monotonic() + pause < deadline:
        time.sleep(pause)
        pause = min(0.5, pause * 1.5)
        try:
            job = job_store.get(job.id)
        except redis.RedisError:
            return job  # what was accepted stays so; only its news cannot be had
    return job
