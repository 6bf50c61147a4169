"""Every two seconds: mend the line, send missing wake-ups, clear what ended jobs left, test the model."""

from __future__ import annotations

import logging
import time
from typing import Any, cast

from contracts.errors import ModelServerUnavailable, StoreUnavailable
from contracts.states import Stage
from jobstore import deployed, draining, keys
from jobstore.orphaned_claims import release_orphans
from jobstore.wakeups import wake
from workers.context import WorkerContext
from workers.inference.model_server import BatchRefused
from workers.maintenance import orphaned_uploads
from workers.maintenance.retention import retire

_log = logging.getLogger("hippocamp.maintain")

TICK_SECONDS = 2.0
CANARY_TASK, PULSE_TASK = "infer.canary", "infer.pulse"
MOST_WAKEUPS = 200
"""Wake-ups on their way to a stage that a tick sees to: 100 a second, each good for a turn of jobs."""
_GARBAGE = keys.PENDING_DELETIONS


def tick(place: WorkerContext) -> None:
    """One round; each part is safe to run twice, late, or at the same time as another round."""
    reap(place)
    for stage in Stage:
        top_up(place, stage)
    retire(place)
    orphaned_uploads.collect(place)
    delete_pending(place)
    place.job_store.answers.clear()
    ask_for_pulse(place)
    ask_for_proof(place)
    deployed.prove(place.redis, "maintain")


def reap(place: WorkerContext) -> None:
    """Requeue what dead workers held, those of this machine at once; end what is past its deadline."""
    for stage in Stage:
        release_orphans(place.job_store, stage)
    for _ in range(20):
        reaped = place.job_store.reap()
        if reaped.requeued or reaped.poisoned or reaped.expired:
            _log.info("line.reaped", extra=vars(reaped))
        if max(reaped.requeued + reaped.poisoned, reaped.expired) < 200:
            return


def top_up(place: WorkerContext, stage: Stage) -> int:
    """Send the wake-ups that waiting records lack; how many. None to a stage that is drained."""
    if f"stage:{stage}" in draining.drained(place.redis):
        return 0
    count = max(0, min(place.job_store.ready(stage), MOST_WAKEUPS) - place.redis.llen(str(stage)))
    if count:
        _log.info("wakeups.topped_up", extra={"stage": stage, "count": count})
        wake(place.redis, stage, count)
    return count


def delete_pending(place: WorkerContext, *, most: int = 200) -> int:
    """Delete blobs nobody needs; an entry leaves the list only after its blob is gone. How many.

    One that cannot be deleted goes to the end of the list, so that it holds up no other.
    """
    paths = cast("list[str]", place.redis.lrange(_GARBAGE, 0, most - 1))
    return sum(_delete(place, path) for path in paths)


def _delete(place: WorkerContext, path: str) -> bool:
    try:
        place.blobs.delete(path)
    except StoreUnavailable as error:
        _log.warning("pending_deletions.left", extra={"detail": error.detail})
        with place.redis.pipeline(transaction=True) as pipe:
            pipe.lrem(_GARBAGE, 1, path)
            pipe.rpush(_GARBAGE, path)
            pipe.execute()
        return False
    place.redis.lrem(_GARBAGE, 1, path)
    return True


def ask_for_proof(place: WorkerContext) -> bool:
    """Have an infer worker send the canary request when the last proof is old; whether it was asked.

    Real work proves the model in service; others beside it are looked for by canary requests alone.
    """
    every = place.settings.canary_seconds
    proved = deployed.health(place.redis, "model_server")
    fresh = proved is not None and _now(place) - proved < every
    others = len(place.settings.known_models) > 1 and deployed.health(place.redis, "other_models") is None
    if fresh and not others:
        return False
    if not place.redis.set(keys.canary("asked"), 1, nx=True, px=int(every * 1000)):
        return False
    place.app.send_task(CANARY_TASK, queue=str(Stage.INFER), expires=every, ignore_result=True, retry=False)
    return True


def ask_for_pulse(place: WorkerContext) -> bool:
    """Have an infer worker look every tick whether the model server lives, unless real work shows it."""
    proved = deployed.health(place.redis, "model_server")
    if proved is not None and _now(place) - proved < TICK_SECONDS:
        return False
    if not place.redis.set(keys.canary("pulse"), 1, nx=True, px=int(TICK_SECONDS * 900)):
        return False
    place.app.send_task(
        PULSE_TASK, queue=str(Stage.INFER), expires=TICK_SECONDS, ignore_result=True, retry=False
    )
    return True


def look(place: WorkerContext) -> bool:
    """Whether the model server gives a sign of life; one that does so again is sent the canary request."""
    try:
        place.model.pulse()
    except ModelServerUnavailable as error:
        deployed.disprove(place.redis, "model_server", str(error))
        _log.warning("pulse.failed", extra={"detail": str(error)})
        return False
    if deployed.failure(place.redis, "model_server"):
        return prove(place)
    return True


def prove(place: WorkerContext) -> bool:
    """Send the canary request; whether the model server passed."""
    started = time.monotonic()
    try:
        place.golden()
    except (ModelServerUnavailable, BatchRefused) as error:
        deployed.disprove(place.redis, "model_server", str(error))
        _log.warning("canary.failed", extra={"error": type(error).__name__, "detail": str(error)})
        return False
    deployed.prove(place.redis, "model_server")  # at once: what `Proofs` told a moment ago it does not repeat
    _log.info("canary.passed", extra={"seconds": round(time.monotonic() - started, 3)})
    return True


def _now(place: WorkerContext) -> float:
    seconds, micros = cast("Any", place.redis.time())
    return float(seconds) + float(micros) / 1e6
