"""What the page for operators draws, read from the job store's state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, cast

import redis

from contracts.states import JobState, Stage
from gateway.monitoring.load_schemas import FailingEndpoint, Load, SiteFigures, StageLoad, WorkerPool
from jobstore import clock, draining, heartbeats, keys, webhook_endpoints
from jobstore.load import SiteLoad, cap, read_sites

MOST_SITES = 20
"""Rows of the page; the sites with fewest jobs become one row "other"."""

MINUTES = 60
_LATEST = 50
"""Deliveries of a site that are looked at for failures."""


def load(client: redis.Redis, *, only: str | None) -> Load:
    """Everything, or what concerns the site `only`; RedisError when the job store cannot be read."""
    now_ms = clock.now_ms(client)
    every = read_sites(client)
    mine = every if only is None else {only: every.get(only, SiteLoad())}
    totals = {} if only else cast("dict[str, str]", client.hgetall(keys.TOTALS))
    scope: Literal["all", "site"] = "site" if only else "all"
    return Load(
        scope=scope,
        at=now_ms / 1000,
        stages={stage: _stage(client, stage, mine.values(), (now_ms, totals)) for stage in Stage},
        sites=[_site(name, one, now_ms) for name, one in cap(mine, MOST_SITES).items()],
        received_per_minute=_received(client, sorted(cap(mine, MOST_SITES)), now_ms),
        workers=[] if only else [_pool(pool, now_ms) for pool in heartbeats.pools(client)],
        drained=[name for name in sorted(draining.drained(client)) if not only or name.startswith("stage:")],
        webhooks=[found for name in sorted(mine)[:MOST_SITES] for found in _failing(client, name)],
        ended={state: int(totals.get(f"entered:{state}", 0)) for state in JobState if state.is_terminal},
    )


def _stage(
    client: redis.Redis, stage: Stage, loads: Iterable[SiteLoad], about: tuple[int, Mapping[str, str]]
) -> StageLoad:
    now_ms, totals = about
    found = list(loads)
    oldest = [load.oldest_ms[stage] for load in found if stage in load.oldest_ms]
    return StageLoad(
        waiting=sum(load.waiting.get(stage, 0) for load in found),
        running=int(cast("Any", client.zcard(keys.leases(stage)))) if totals else None,
        oldest_seconds=_age(min(oldest, default=now_ms), now_ms),
        started=int(totals.get(f"claimed:{stage}", 0)) if totals else None,
    )


def _site(name: str, one: SiteLoad, now_ms: int) -> SiteFigures:
    return SiteFigures(
        site=name,
        waiting={stage: one.waiting.get(stage, 0) for stage in Stage},
        oldest_seconds={stage: _age(one.oldest_ms.get(stage, now_ms), now_ms) for stage in Stage},
        jobs={state: one.jobs.get(state, 0) for state in JobState},
        done={stage: one.done.get(stage, 0) for stage in Stage},
    )


def _received(client: redis.Redis, sites: list[str], now_ms: int) -> list[int]:
    """Jobs by the minute they came in; erased ones are not counted any more."""
    first = now_ms - MINUTES * 60_000
    with client.pipeline(transaction=False) as pipe:
        for site in sites:
            for minute in range(MINUTES):
                start = first + minute * 60_000
                pipe.zcount(keys.jobs_of_site(site), f"({start}", start + 60_000)
        counts = cast("list[int]", pipe.execute())
    return [sum(counts[minute::MINUTES]) for minute in range(MINUTES)]


def _pool(pool: heartbeats.Pool, now_ms: int) -> WorkerPool:
    return WorkerPool(
        name=pool.name,
        queues=list(pool.queues),
        slots=pool.slots,
        up_seconds=_age(pool.since_ms, now_ms),
        silent_seconds=_age(pool.seen_ms, now_ms),
        silent=pool.is_silent(now_ms),
    )


def _failing(client: redis.Redis, site: str) -> list[FailingEndpoint]:
    stored = webhook_endpoints.list_all(client, site)
    if not stored:
        return []
    latest = cast("list[str]", client.zrevrange(keys.deliveries(site), 0, _LATEST - 1))
    with client.pipeline(transaction=False) as pipe:
        for delivery in latest:
            pipe.hmget(keys.record(delivery), ["endpoint_id", "last_error", "error_detail", "state"])
        rows = cast("list[list[str | None]]", pipe.execute())
    found = []
    for endpoint in stored:
        errors = [row[1] or row[2] for row in rows if row[0] == endpoint.id and row[3] != "succeeded"]
        errors = [error for error in errors if error]
        if errors or endpoint.disabled:
            last = errors[0] if errors else None
            about = {"site": site, "url": endpoint.shown_url, "disabled": endpoint.disabled or None}
            found.append(FailingEndpoint(**about, failing=len(errors), last_error=last))  # type: ignore[arg-type]
    return found


def _age(since_ms: int, now_ms: int) -> float:
    return max(0, now_ms - since_ms) / 1000
