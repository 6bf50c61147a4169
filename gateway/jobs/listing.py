"""Jobs of a site or a batch, or its deliveries, newest first, from the sorted sets the job store keeps."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any, cast

import redis

from contracts.job import Job
from gateway.http.schemas import JobQuery
from jobstore import keys

_LISTED = {"job", "delivery"}
_MOST_READ = 1000
"""Records read for one page at most: a rare state must not make one request walk a site's whole history."""


def page(
    client: redis.Redis, kept_in: str, *, wanted: Callable[[Job], bool], after: str | None, limit: int
) -> tuple[list[Job], str | None]:  # fmt: skip
    """(jobs, cursor of the next page or None); kept_in: key of the sorted set.

    The cursor is `<created ms>.<job id>` (gateway.http.schemas.CURSOR), so erasing its job is harmless.
    """
    found: list[Job] = []
    cursor, read = _parse(after), 0
    while len(found) < limit and read < _MOST_READ:
        ids = _ids(client, kept_in, cursor, 100)
        if not ids:
            return found, None
        for (job_id, created), job in zip(ids, _records(client, [i for i, _ in ids]), strict=True):
            read, cursor = read + 1, (created, job_id)
            if job and wanted(job):
                found.append(job)
                if len(found) == limit:
                    break
    return found, f"{cursor[0]:.0f}.{cursor[1]}" if cursor else None


def asked_for(query: JobQuery) -> Callable[[Job], bool]:
    """Whether a job is one that the query asks for."""

    def wanted(job: Job) -> bool:
        if query.state not in {None, job.state}:
            return False
        if query.priority not in {None, job.text("priority")}:
            return False
        return query.q is None or any(name.startswith(query.q) for name in _names(job))

    return wanted


def in_state(state: StrEnum | None) -> Callable[[Job], bool]:
    """Whether a record is in this state; None asks for all."""
    return lambda record: state in {None, record.text("state")}


def _names(job: Job) -> tuple[str, ...]:
    texts = (job.text(field) for field in ("content_digest", "error_code", "trace_id"))
    return (job.id, job.id.removeprefix("job_"), *texts)


def _parse(after: str | None) -> tuple[float, str] | None:
    if after is None:
        return None
    created, _, job_id = after.partition(".")
    return float(created), job_id


def _ids(
    client: redis.Redis, kept_in: str, cursor: tuple[float, str] | None, count: int
) -> list[tuple[str, float]]:  # fmt: skip
    # Members of equal score come in descending order of id: those at or above the cursor were shown already.
    highest = f"{cursor[0]:.0f}" if cursor else "+inf"
    skip = 0
    while True:
        raw = cast("Any", client.zrevrangebyscore(
            kept_in, highest, "-inf", start=skip, num=count, withscores=True
        ))  # fmt: skip
        fresh = [(i, s) for i, s in raw if not cursor or (s, i) < cursor]
        if fresh or not raw:
            return fresh
        skip += len(raw)


def _records(client: redis.Redis, ids: list[str]) -> list[Job | None]:
    with client.pipeline(transaction=False) as pipe:
        for job_id in ids:
            pipe.hgetall(keys.record(job_id))
        return [Job(fields) if fields.get("kind") in _LISTED else None for fields in pipe.execute()]
