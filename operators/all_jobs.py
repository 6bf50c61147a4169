"""The jobs of all sites, read from Redis itself for `hippocamp-admin jobs`."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, cast

from jobstore import keys

if TYPE_CHECKING:
    import redis

_AT_ONCE = 200


def jobs(client: redis.Redis, *, site: str | None, state: str | None, limit: int) -> list[dict[str, str]]:
    """Records, newest first, of one site or all, in one state or any."""
    names = [site] if site else sorted(cast("set[str]", client.smembers(keys.SITES)))
    streams = [_newest_first(client, name) for name in names]
    merged = heapq.merge(*streams, key=lambda record: -int(record["created_ms"]))
    return list(islice((record for record in merged if state in {None, record["state"]}), limit))


def _newest_first(client: redis.Redis, site: str) -> Iterator[dict[str, str]]:
    first = 0
    while ids := cast("list[str]", client.zrevrange(keys.jobs_of_site(site), first, first + _AT_ONCE - 1)):
        with client.pipeline(transaction=False) as pipe:
            for job_id in ids:
                pipe.hgetall(keys.record(job_id))
            records = cast("list[dict[str, str]]", pipe.execute())
        yield from (record for record in records if record.get("kind") == "job")
        first += _AT_ONCE
