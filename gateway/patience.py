"""Waiting for jobs on behalf of callers, in so few threads that the others still get answers."""

from __future__ import annotations

import re
import threading
import time

import redis

from contracts.job import Job
from contracts.line import Line

MOST_SECONDS = 60
_slots = threading.BoundedSemaphore(8)
"""Callers of this process that may wait at once, half of gunicorn's default threads."""
_PREFER = re.compile(r"(?:^|[,;\s])wait\s*=\s*(\d{1,6})(?=$|[,;\s])")


def take_place() -> bool:
    """Whether one more caller may wait; whoever got the place must `leave_place`."""
    return _slots.acquire(blocking=False)


def leave_place() -> None:
    """Give a place back."""
    _slots.release()


def wished(prefer: str) -> int:
    """Seconds in a `Prefer: wait=N` header (RFC 7240), at most MOST_SECONDS; 0 when it wishes nothing."""
    found = _PREFER.search(prefer)
    return min(int(found[1]), MOST_SECONDS) if found else 0


def until_ended(line: Line, job: Job, seconds: float) -> Job:
    """The job once it has ended, or as it is when the time (or the places to wait) ran out."""
    deadline, pause = time.monotonic() + seconds, 0.05
    if job.state.is_terminal or not seconds or not take_place():
        return job
    try:
        while not job.state.is_terminal and time.monotonic() + pause < deadline:
            time.sleep(pause)
            pause = min(0.5, pause * 1.5)
            job = line.get(job.id)
    except redis.RedisError:
        return job  # what was accepted stays so; only its news cannot be had
    finally:
        leave_place()
    return job
