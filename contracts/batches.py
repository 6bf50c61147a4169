"""Batches: one handle for many jobs; the line's scripts count its jobs and keep its list."""

from __future__ import annotations

import uuid
from dataclasses import asdict, dataclass
from typing import Any, cast

import redis

_UNUSED_SECONDS = 30 * 86400


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One handle; it goes with the last of its jobs, or after a month in which no job came.

    created_ms: Unix time in milliseconds. expected: jobs its owner means to send, 0 when that was not told.
    """

    id: str
    site: str
    created_ms: int
    description: str = ""
    expected: int = 0


def new_batch_id() -> str:
    """An id nobody can guess."""
    return f"bat_{uuid.uuid4().hex}"


def listed_in(batch_id: str) -> str:
    """Redis key of the sorted set of its jobs' ids, by creation."""
    return f"hc:jobs_of:{batch_id}"


def save(client: redis.Redis, batch: Batch) -> None:
    """From now on jobs can name it."""
    with client.pipeline(transaction=True) as pipe:
        pipe.hset(_record(batch.id), mapping=cast("Any", asdict(batch)))
        pipe.expire(_record(batch.id), _UNUSED_SECONDS)
        pipe.execute()


def find(client: redis.Redis, batch_id: str) -> Batch | None:
    """The batch of this id, None when there is none (any more)."""
    fields = cast("dict[str, Any]", client.hgetall(_record(batch_id)))
    if not fields:
        return None
    figures = {name: int(fields[name]) for name in ("created_ms", "expected")}
    return Batch(**(fields | figures))


def counts(client: redis.Redis, batch_id: str) -> dict[str, int]:
    """State -> jobs of the batch in it; states no job was ever in are left out."""
    found = cast("dict[str, str]", client.hgetall(f"hc:count_of:{batch_id}"))
    return {state: int(number) for state, number in found.items()}


def _record(batch_id: str) -> str:
    return f"hc:batch:{batch_id}"
