"""Which worker pools are there, busy or idle: each tells Redis every few seconds what it serves where."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, cast

import redis
from celery import signals

from jobstore import clock, keys
from jobstore.worker_identity import worker_name
from runtime.redis_connections import connect

EVERY_SECONDS = 5.0
SILENT_SECONDS = 20.0
"""A pool that has told nothing for so long is gone or cut off."""
_FORGET_SECONDS = 3600


@dataclass(frozen=True)
class Pool:
    """One Celery parent and its children. since_ms, seen_ms: Unix time by Redis's clock."""

    name: str
    queues: tuple[str, ...]
    slots: int
    since_ms: int
    seen_ms: int

    def is_silent(self, now_ms: int) -> bool:
        """Whether it has told nothing lately."""
        return now_ms - self.seen_ms > SILENT_SECONDS * 1000


def pools(client: redis.Redis) -> list[Pool]:
    """Every pool that told something within the hour, by name."""
    found = cast("dict[str, str]", client.hgetall(keys.WORKERS))
    read = [Pool(**json.loads(text)) for _, text in sorted(found.items())]
    return [Pool(**asdict(one) | {"queues": tuple(one.queues)}) for one in read]


def announce(redis_url: str) -> None:
    """Have the parent of the Celery pool tell that it is there, from its start to its stop."""
    done = threading.Event()

    def start(sender: Any, **_: Any) -> None:
        queues = sorted(sender.app.amqp.queues.consume_from)
        slots = int(sender.controller.concurrency)
        client = connect(redis_url, retries=0)
        threading.Thread(
            target=_tell_until, args=(done, client, lambda now: _pool(queues, slots, now)), daemon=True
        ).start()

    def stop(**_: Any) -> None:
        done.set()
        with suppress(redis.RedisError):
            connect(redis_url, retries=0).hdel(keys.WORKERS, worker_name())

    signals.worker_ready.connect(start, weak=False)
    signals.worker_shutdown.connect(stop, weak=False)


_started_ms: dict[str, int] = {}


def _pool(queues: list[str], slots: int, now_ms: int) -> Pool:
    name = worker_name()
    return Pool(name, tuple(queues), slots, _started_ms.setdefault(name, now_ms), now_ms)


def _tell_until(done: threading.Event, client: redis.Redis, pool: Callable[[int], Pool]) -> None:
    while True:
        with suppress(redis.RedisError):
            tell(client, pool)
        if done.wait(EVERY_SECONDS):
            return


def tell(client: redis.Redis, pool: Callable[[int], Pool]) -> None:
    """Write one pool; forget those that have been silent for an hour."""
    now = clock.now_ms(client)
    own = pool(now)
    client.hset(keys.WORKERS, own.name, json.dumps(asdict(own)))
    gone = [one.name for one in pools(client) if now - one.seen_ms > _FORGET_SECONDS * 1000]
    if gone:
        client.hdel(keys.WORKERS, *gone)
