"""One way to open Redis, with the time limits and keepalive every process must use."""

from __future__ import annotations

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry


def connect(url: str, *, timeout_seconds: float = 5, retries: int = 3) -> redis.Redis:
    """A client that connects at first use, never waits longer than its timeout, and reconnects by itself."""
    return redis.Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        socket_keepalive=True,
        health_check_interval=15,
        retry=Retry(ExponentialBackoff(cap=1, base=0.05), retries),
    )


def connect_cache(url: str) -> redis.Redis | None:
    """A client that would rather miss than wait; None for "", which keeps the cache beside the line."""
    return connect(url, timeout_seconds=0.5, retries=0) if url else None
