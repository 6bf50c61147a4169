"""When a delivery is tried again, and how long an endpoint that fails gets nothing."""

from __future__ import annotations

import zlib

import redis

from jobstore import keys
from jobstore.webhook_endpoints import Endpoint

MINUTE, HOUR = 60, 3600
SCHEDULE = (5, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR)
"""Seconds from a failed attempt to the next; ten attempts within about 75 hours."""

FIRST_REST, LONGEST_REST = 5, 600
"""Seconds for which nothing is sent to an endpoint that just failed; doubled by every further failure."""


def pause_after(attempt: int, delivery_id: str) -> float:
    """Seconds until the attempt after this one, up to a tenth longer so that they do not come in waves."""
    return SCHEDULE[attempt - 1] * (1 + zlib.crc32(delivery_id.encode()) % 1000 / 10_000)


def rest_left(client: redis.Redis, endpoint: Endpoint) -> float:
    """Seconds for which the endpoint gets nothing more; 0 or less when it may be tried."""
    return client.pttl(keys.resting(endpoint.id)) / 1000


def begin_rest(client: redis.Redis, endpoint: Endpoint) -> None:
    """Leave a failing endpoint alone for a while, so that it cannot hold up everybody's deliveries."""
    failures = client.incr(keys.failures(endpoint.id))
    client.expire(keys.failures(endpoint.id), 2 * HOUR)
    client.set(keys.resting(endpoint.id), 1, ex=min(LONGEST_REST, FIRST_REST * 2 ** min(failures - 1, 10)))


def end_rest(client: redis.Redis, endpoint: Endpoint) -> None:
    """It took a delivery: its failures are forgotten."""
    client.delete(keys.resting(endpoint.id), keys.failures(endpoint.id))
