"""Every two seconds: reap lost leases, top up wake-ups, delete what ended jobs left, ask for a canary."""

from __future__ import annotations

import logging
from typing import cast

from contracts.errors import StoreUnavailable
from contracts.states import Stage
from jobstore import clock, deployed, draining, keys
from jobstore.orphaned_claims import release_orphans
from jobstore.wakeups import wake
from workers.context import WorkerContext
from workers.inference.model_health import CANARY_TASK, LIVENESS_TASK
from workers.maintenance import orphaned_uploads
from workers.maintenance.retention import retire

_log = logging.getLogger("hippocamp.maintain")

TICK_SECONDS = 2.0
MOST_WAKEUPS = 200
"""Wake-ups on their way to a stage that a tick sees to: 100 a second, each good for a turn of jobs."""


def tick(context: WorkerContext) -> None:
    """One round; each part is safe to run twice, late, or at the same time as another round."""
    reap(context)
    for stage in Stage:
        top_up(context, stage)
    retire(context)
    orphaned_uploads.collect(context)
    delete_pending(context)
    context.job_store.answers.clear()
    request_liveness_check(context)
    request_canary(context)
    deployed.record_heartbeat(context.redis, "maintain")


def reap(context: WorkerContext) -> None:
    """Requeue what dead workers held, those of this machine at once; end what is past its deadline."""
    for stage in Stage:
        release_orphans(context.job_store, stage)
    for _ in range(20):
        reaped = context.job_store.reap()
        if reaped.requeued or reaped.poisoned or reaped.expired:
            _log.info("leases.reaped", extra=vars(reaped))
        if max(reaped.requeued + reaped.poisoned, reaped.expired) < 200:
            return


def top_up(context: WorkerContext, stage: Stage) -> int:
    """Send the wake-ups that waiting records lack; how many. None to a stage that is drained."""
    if f"stage:{stage}" in draining.drained(context.redis):
        return 0
    count = max(0, min(context.job_store.ready(stage), MOST_WAKEUPS) - context.redis.llen(str(stage)))
    if count:
        _log.info("wakeups.topped_up", extra={"stage": stage, "count": count})
        wake(context.app, stage, count)
    return count


def delete_pending(context: WorkerContext, *, most: int = 200) -> int:
    """Delete blobs nobody needs; an entry leaves the list only after its blob is gone. How many.

    One that cannot be deleted goes to the end of the list, so that it holds up no other.
    """
    paths = cast("list[str]", context.redis.lrange(keys.PENDING_DELETIONS, 0, most - 1))
    return sum(_delete(context, path) for path in paths)


def _delete(context: WorkerContext, path: str) -> bool:
    try:
        context.blobs.delete(path)
    except StoreUnavailable as error:
        _log.warning("pending_deletions.left", extra={"detail": error.detail})
        with context.redis.pipeline(transaction=True) as pipe:
            pipe.lrem(keys.PENDING_DELETIONS, 1, path)
            pipe.rpush(keys.PENDING_DELETIONS, path)
            pipe.execute()
        return False
    context.redis.lrem(keys.PENDING_DELETIONS, 1, path)
    return True


def request_canary(context: WorkerContext) -> bool:
    """Have an infer worker run the canary inference when the last heartbeat is old; whether it was asked.

    Real work shows that the model in service works; others beside it are found by canary inference alone.
    """
    every = context.settings.canary_seconds
    is_other_due = (
        len(context.settings.known_models) > 1 and deployed.health(context.redis, "other_models") is None
    )
    if _is_model_server_fresh(context, every) and not is_other_due:
        return False
    if not context.redis.set(keys.canary("asked"), 1, nx=True, px=int(every * 1000)):
        return False
    _send(context, CANARY_TASK, expires=every)
    return True


def request_liveness_check(context: WorkerContext) -> bool:
    """Have an infer worker look every tick whether the model server lives, unless real work shows it."""
    if _is_model_server_fresh(context, TICK_SECONDS):
        return False
    if not context.redis.set(keys.canary("liveness"), 1, nx=True, px=int(TICK_SECONDS * 900)):
        return False
    _send(context, LIVENESS_TASK, expires=TICK_SECONDS)
    return True


def _send(context: WorkerContext, task: str, *, expires: float) -> None:
    context.app.send_task(task, queue=str(Stage.INFER), expires=expires, ignore_result=True, retry=False)


def _is_model_server_fresh(context: WorkerContext, seconds: float) -> bool:
    """Whether its last heartbeat is younger than this."""
    heartbeat = deployed.health(context.redis, "model_server")
    return heartbeat is not None and clock.now_seconds(context.redis) - heartbeat < seconds
