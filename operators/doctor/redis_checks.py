"""What `hippocamp-admin doctor` asks of Redis itself, for an operator: its promises, its room, who works."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, cast

from client.errors import Unavailable
from jobstore import clock, keys
from operators.doctor.checks import Finding, Verdict
from operators.redis_access import Refused, ago, place_of, redis_at

if TYPE_CHECKING:
    import redis

_LEAST_VERSION = (6, 2)
_MEMORY = "Raise maxmemory, or shorten retention: a full Redis takes no more jobs"
_ADVICE = {
    "unavailable.job_store_full": _MEMORY,
    "unavailable.job_store_disk": "Free the disk of Redis, look at its rights and at Redis's log",
    "unavailable.job_store_read_only": "A replica: name the master, or its sentinels, in HIPPOCAMP_REDIS_URL",
    "unavailable.job_store_degraded": "Start the master, the replicas or the nodes that are missing",
    "unavailable.job_store_busy": "Find the command in SLOWLOG; SCRIPT KILL ends a script that only reads",
}
"""What to do about a Redis that refuses, by the code of the refusal."""
_TICK_SECONDS = 30
"""Age of the reconciler's last round (one every two seconds) above which it stands."""
_DUE_MS, _QUIET_MS = 120_000, 7_200_000
"""A study that no gateway looked at for so long after it was due; one that waits for images for so long."""


def redis_checks(address: str) -> Iterator[Finding]:
    """Everything that Redis can be asked; one finding when it does not answer."""
    checks: dict[str, Callable[[redis.Redis], Iterator[Finding]]] = {
        "version and memory": _server,
        "writes": _writes,
        "settings": _promises,
        "time": _clock,
        "pools": _workers,
        "rounds": _reconciler,
        "drained": _drained,
        "lists": _quarantine,
        "sites": _doors,
        "inbox": _inbox,
    }
    try:
        with redis_at(address) as client:
            client.ping()
            yield Finding("redis", Verdict.GOOD, f"{place_of(address)} answers")
            for name, check in checks.items():
                yield from _tried(client, f"redis, {name}", check)
    except (Unavailable, Refused) as error:
        yield Finding("redis", Verdict.BAD, str(error), "Start Redis, or mend HIPPOCAMP_REDIS_URL")


def _tried(
    client: redis.Redis, name: str, check: Callable[[redis.Redis], Iterator[Finding]]
) -> Iterator[Finding]:
    """The check's findings; what Redis refuses is one of them, and only its absence ends the other checks."""
    import redis

    from contracts.errors import JobStoreUnavailable, Misconfigured
    from runtime.redis_failures import failure_of

    try:
        yield from check(client)
    except redis.RedisError as error:
        failure = failure_of(error)
        if type(failure) is JobStoreUnavailable:
            raise
        if isinstance(failure, Misconfigured):
            advice = "Name a user that may in HIPPOCAMP_REDIS_URL, or let this one run the command"
            yield Finding(name, Verdict.SKIPPED, str(error), advice)
        else:
            advice = _ADVICE.get(failure.code, "See Redis's log; report it when nothing there explains it")
            yield Finding(name, Verdict.BAD, f"{failure.title}: {error}", advice)


def _writes(client: redis.Redis) -> Iterator[Finding]:
    client.set(keys.health("doctor"), f"{time.time():.3f}", ex=60)
    yield Finding("redis, writes", Verdict.GOOD, "took a write")


def _server(client: redis.Redis) -> Iterator[Finding]:
    found = str(cast("Any", client.info("server"))["redis_version"])
    old = tuple(int(part) for part in found.split(".")[:2]) < _LEAST_VERSION
    advice = f"Use Redis {'.'.join(map(str, _LEAST_VERSION))} or newer" if old else ""
    yield Finding("redis version", Verdict.BAD if old else Verdict.GOOD, found, advice)
    memory = cast("Any", client.info("memory"))
    used, limit = int(memory["used_memory"]), int(memory["maxmemory"])
    full = bool(limit) and used > 0.85 * limit
    shown = f"{used / 1e6:.0f} MB used" + (f" of {limit / 1e6:.0f}" if limit else ", no limit set")
    advice = _MEMORY if full else ""
    yield Finding("redis memory", Verdict.BAD if full else Verdict.GOOD, shown, advice)


def _promises(client: redis.Redis) -> Iterator[Finding]:
    """What the 202 of the gateway stands on."""
    saved = cast("Any", client.info("persistence"))
    on = int(saved.get("aof_enabled", 0)) == 1
    healthy = saved.get("aof_last_write_status", "ok") == saved.get("aof_last_bgrewrite_status", "ok") == "ok"
    good = on and healthy
    shown = "written" if good else "its last write failed" if on else "off"
    advice = "appendonly yes; free the disk: what is accepted now can be lost"
    yield Finding("redis log", Verdict.GOOD if good else Verdict.BAD, shown, "" if good else advice)
    yield _setting(
        client, "appendfsync", "always", "a power cut may lose the last second of jobs", Verdict.ODD
    )
    yield _setting(client, "maxmemory-policy", "noeviction", "a full Redis drops records", Verdict.BAD)


def _setting(client: redis.Redis, name: str, wanted: str, else_: str, verdict: Verdict) -> Finding:
    import redis

    try:
        found = cast("dict[str, str]", client.config_get(name)).get(name, "?")
    except redis.ResponseError:
        return Finding(name, Verdict.SKIPPED, "this user may not read Redis's settings")
    if found == wanted:
        return Finding(name, Verdict.GOOD, found)
    return Finding(name, verdict, f"{found}: {else_}", f"Set it to {wanted} in Redis's configuration")


def _clock(client: redis.Redis) -> Iterator[Finding]:
    off = abs(clock.now_ms(client) / 1000 - time.time())
    bad = off > 5
    advice = "Set both clocks (NTP): ages, deadlines and proofs of life are off by that much" if bad else ""
    yield Finding(
        "redis clock", Verdict.ODD if bad else Verdict.GOOD, f"{off:.1f} s from this machine's", advice
    )


def _workers(client: redis.Redis) -> Iterator[Finding]:
    from contracts.states import Stage
    from jobstore import heartbeats
    from jobstore.wakeups import MAINTAIN_QUEUE

    now = clock.now_ms(client)
    pools = heartbeats.pools(client)
    for queue in (*map(str, Stage), MAINTAIN_QUEUE):
        there = [pool for pool in pools if queue in pool.queues and not pool.is_silent(now)]
        slots = sum(pool.slots for pool in there)
        advice = "" if there else f"Start workers of the queue {queue} and read their log"
        verdict = Verdict.GOOD if there else Verdict.BAD
        yield Finding(f"{queue} pools", verdict, f"{len(there)} with {slots} slots", advice)
    for pool in pools:
        if pool.is_silent(now):
            advice = "Killed or cut off: look at its host; it is forgotten after an hour"
            yield Finding("silent pool", Verdict.ODD, f"{pool.name}, {ago(pool.seen_ms, now)}", advice)


def _reconciler(client: redis.Redis) -> Iterator[Finding]:
    from jobstore import deployed

    stamp = deployed.health(client, "maintain")
    age = None if stamp is None else clock.now_ms(client) / 1000 - stamp
    good = age is not None and age < _TICK_SECONDS
    shown = "no round lately" if age is None else f"last round {age:.0f} s ago"
    advice = "" if good else "Start maintain and beat: nothing else mends the job store or ends deadlines"
    yield Finding("reconciler", Verdict.GOOD if good else Verdict.BAD, shown, advice)


def _drained(client: redis.Redis) -> Iterator[Finding]:
    from jobstore import draining

    now = clock.now_ms(client)
    for scope, since in sorted(draining.drained(client).items()):
        shown = f"{scope} claims nothing, for {ago(since, now)}"
        yield Finding(
            "drained", Verdict.ODD, shown, f"hippocamp-admin drain --undo {scope.removeprefix('stage:')}"
        )


def _quarantine(client: redis.Redis) -> Iterator[Finding]:
    kept = int(client.zcard(keys.QUARANTINE))
    advice = (
        "hippocamp-admin quarantine list; after the repair: hippocamp-admin quarantine release --all"
        if kept
        else ""
    )
    yield Finding("quarantine", Verdict.ODD if kept else Verdict.GOOD, f"{kept} poisoned jobs", advice)
    pending = int(client.llen(keys.PENDING_DELETIONS))
    many = pending > 10_000
    advice = "Blobs are not being deleted: look for pending_deletions.left in maintain's log" if many else ""
    yield Finding("garbage", Verdict.ODD if many else Verdict.GOOD, f"{pending} blobs to delete", advice)


def _inbox(client: redis.Redis) -> Iterator[Finding]:
    from jobstore import inbox

    now = clock.now_ms(client)
    found = inbox.collected(client).values()
    count, waiting = sum(one.studies for one in found), inbox.overdue(client, now_ms=now, most_ms=_DUE_MS)
    oldest = min((one.oldest_ms for one in found), default=now)
    shown = f"{count} studies collected" + (f", the oldest quiet since {ago(oldest, now)}" if count else "")
    if waiting:
        advice = "No gateway looks at them: is one running, and what does inbox.failed in its log say?"
        yield Finding("inbox", Verdict.BAD, f"{shown}; {waiting} are overdue", advice)
    elif now - oldest > _QUIET_MS:
        advice = "See GET /v1/inbox of the site: what it waits for; POST .../close ends the wait"
        yield Finding("inbox", Verdict.ODD, shown, advice)
    else:
        yield Finding("inbox", Verdict.GOOD, shown)


def _doors(client: redis.Redis) -> Iterator[Finding]:
    from jobstore import sites

    found = sites.list_all(client)
    shown = f"{len(found)} configured" if found else "none: only this machine is served, without keys"
    shut = [site.name for site in found if not site.enabled]
    yield Finding("sites", Verdict.GOOD, shown + (f"; disabled: {', '.join(shut)}" if shut else ""))
