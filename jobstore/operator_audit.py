"""What operators did with their own commands, on its way into the audit log.

Their commands talk to Redis, from wherever Redis can be reached; the log is a file of the gateway's. So an
event waits in a list of the job store, where it is as durable as a job, until a gateway takes it over.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, cast

import redis

from jobstore import keys
from runtime.audit import AuditLog, Event

_TAKING_SECONDS = 30


def tell(client: redis.Redis, event: Event) -> None:
    """Put the event in the list."""
    client.rpush(keys.OPERATOR_EVENTS, json.dumps(asdict(event)))


def take_over(client: redis.Redis, log: AuditLog) -> int:
    """Write what waits to the log; how many. One process does it at a time.

    Each leaves the list only when its line is on disk: a crash in between may write it twice, never lose it.
    StoreUnavailable when the log cannot be written; redis.RedisError.
    """
    if not client.exists(keys.OPERATOR_EVENTS) or not client.set(
        keys.OPERATOR_EVENTS_TAKEN, 1, nx=True, ex=_TAKING_SECONDS
    ):
        return 0
    taken = 0
    try:
        while text := cast("str | None", client.lindex(keys.OPERATOR_EVENTS, 0)):
            log.append(_event(text))
            client.lrem(keys.OPERATOR_EVENTS, 1, text)
            taken += 1
    finally:
        client.delete(keys.OPERATOR_EVENTS_TAKEN)
    return taken


def _event(text: str) -> Event:
    try:
        told: dict[str, Any] = dict(json.loads(text))
        return Event(**told)
    except (ValueError, TypeError):
        return Event(who="", what="operator.unreadable", site="", job="", where="", outcome=500)
