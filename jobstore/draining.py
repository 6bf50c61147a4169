"""Taking a stage or a host out of service: its workers claim nothing (claim.lua asks) until let in."""

from __future__ import annotations

from typing import cast

import redis

from contracts.job import Claim
from contracts.states import Stage
from jobstore import keys
from jobstore.store import JobStore, LeaseLost
from jobstore.worker_identity import host_of


def drain(client: redis.Redis, scope: str, *, now_ms: int) -> None:
    """The workers of "stage:<stage>" or "host:<host>" take nothing more; what they hold they finish."""
    client.hsetnx(keys.DRAINED, scope, now_ms)


def resume(client: redis.Redis, scope: str) -> bool:
    """Let them work again; False when they were not drained."""
    return bool(client.hdel(keys.DRAINED, scope))


def drained(client: redis.Redis) -> dict[str, int]:
    """Scope -> since when, Unix milliseconds."""
    found = cast("dict[str, str]", client.hgetall(keys.DRAINED))
    return {scope: int(since) for scope, since in found.items()}


def held_by(job_store: JobStore, scope: str) -> list[Claim]:
    """What the workers of a scope hold now."""
    kind, _, name = scope.partition(":")
    stages = [Stage(name)] if kind == "stage" else list(Stage)
    claims = [claim for stage in stages for claim in held(job_store, stage)]
    return (
        claims
        if kind == "stage"
        else [one for one in claims if host_of(one.record.get("worker", "")) == name]
    )


def held(job_store: JobStore, stage: Stage) -> list[Claim]:
    """Every claim of a stage, as its worker would show it."""
    found = []
    for id_ in cast("list[str]", job_store.redis.zrange(keys.leases(stage), 0, -1)):
        record = job_store.record(id_)
        if record:
            found.append(Claim(id_, stage, int(record["fence"]), record))
    return found


def hand_back(job_store: JobStore, claims: list[Claim]) -> int:
    """Take claims from their workers without costing an attempt; how many were still held.

    Their leases end at once: a worker meets that at its next step or at its commit, and throws its work away.
    """
    return sum(_released(job_store, claim) for claim in claims)


def _released(job_store: JobStore, claim: Claim) -> bool:
    try:
        job_store.release(claim, "drained", counts=False)
    except LeaseLost:
        return False
    return True
