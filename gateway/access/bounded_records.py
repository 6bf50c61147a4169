"""Records that end by themselves, of which an owner has so many at a time: a new one ends the oldest."""

from __future__ import annotations

import time
from dataclasses import dataclass

import redis


@dataclass(frozen=True)
class Owner:
    """key: of the sorted set of its records. most: of them at a time. seconds: how long one lasts."""

    key: str
    most: int
    seconds: int


def keep_latest(client: redis.Redis, owner: Owner, *, record: str, text: str) -> None:
    """Set `record`, and forget what the owner has too many of."""
    now = time.time()
    with client.pipeline(transaction=True) as pipe:
        pipe.set(record, text, ex=owner.seconds)
        pipe.zremrangebyscore(owner.key, "-inf", now - owner.seconds)
        pipe.zadd(owner.key, {record: now})
        pipe.expire(owner.key, owner.seconds)
        pipe.zrange(owner.key, 0, -owner.most - 1)
        surplus = pipe.execute()[-1]
    if surplus:
        client.delete(*surplus)
        client.zrem(owner.key, *surplus)
