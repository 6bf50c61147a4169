"""Claims of processes that died on this machine return to the queue at once, long before their lease ends."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, cast

import redis
from celery import signals

from contracts.job import Claim
from contracts.states import Stage
from jobstore import keys
from jobstore.store import JobStore, LeaseLost
from jobstore.worker_identity import is_dead, pid_of
from runtime.redis_connections import connect

_log = logging.getLogger("hippocamp.orphans")

_LOOK_SECONDS = 1.0


def release_orphans(job_store: JobStore, stage: Stage) -> list[str]:
    """Hand back what dead processes of this machine hold at the stage, their attempt counted; the ids."""
    released = []
    for record_id in cast("list[str]", job_store.redis.zrange(keys.leases(stage), 0, -1)):
        record = job_store.record(record_id)
        worker = record.get("worker", "")
        if not is_dead(worker):
            continue
        claim = Claim(record_id, stage, int(record["fence"]), record)
        with suppress(LeaseLost):
            job_store.release(claim, "worker died")
            released.append(record_id)
            _log.warning("claim.orphaned", extra={**claim.context, "pid": pid_of(worker)})
    return released


def watch(redis_url: str, stages: Sequence[Stage], *, also: Callable[[], object] = int) -> None:
    """Have the parent of the Celery pool look for orphans of these stages every second, from its start on.

    also: what else dead processes leave on this machine, to be cleared as often; it raises nothing.
    """

    def look_forever() -> None:
        job_store, pause = JobStore(connect(redis_url, retries=0)), threading.Event()
        also()
        while not pause.wait(_LOOK_SECONDS):
            for stage in stages:
                with suppress(redis.RedisError):
                    release_orphans(job_store, stage)
            also()

    def start(**_: Any) -> None:
        threading.Thread(target=look_forever, name="orphans", daemon=True).start()

    signals.worker_ready.connect(start, weak=False)
