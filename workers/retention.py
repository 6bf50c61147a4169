"""Forgetting what is old: jobs past their site's retention go, with everything that was made of them."""

from __future__ import annotations

import logging
import time
from typing import cast

from contracts import sites
from contracts.errors import JobNotFound
from contracts.job import Job
from workers.workplace import Workplace

_log = logging.getLogger("hippocamp.maintain")

EVERY_SECONDS = 30
MOST_AT_ONCE = 500
"""Jobs of one site forgotten in one round, so that a round stays short."""


def retire(place: Workplace) -> int:
    """Erase ended jobs that are old enough, without a tombstone; how many. At most once in EVERY_SECONDS."""
    if not place.redis.set("hc:retention:asked", 1, nx=True, ex=EVERY_SECONDS):
        return 0
    names = cast("set[str]", place.redis.smembers("hc:sites"))
    return sum(_retire(place, name) for name in sorted(names))


def _retire(place: Workplace, name: str) -> int:
    site = sites.find(place.redis, name)
    kept = site.retention_seconds if site else place.settings.retention_seconds
    if not kept:
        return 0
    oldest = int((time.time() - kept) * 1000)
    ids = cast(
        "list[str]", place.redis.zrangebyscore(f"hc:jobs:{name}", "-inf", oldest, start=0, num=MOST_AT_ONCE)
    )
    forgotten = sum(_forget(place, job_id) for job_id in ids)
    if forgotten:
        _log.info("jobs.forgotten", extra={"site": name, "count": forgotten})
    return forgotten


def _forget(place: Workplace, job_id: str) -> bool:
    fields = place.line.record(job_id)
    if fields.get("kind") != "job" or not Job(fields).state.is_terminal:
        return False
    try:
        place.line.erase(Job(fields), tombstone=False)
    except JobNotFound:
        return False
    return True
