"""One job of the preprocess stage: claim, prepare, store the stack, hand on to inference."""

from __future__ import annotations

import json
import logging
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

from celery import Celery, signals
from opentelemetry.trace import Span

from contracts.errors import ContrastEnhanced
from contracts.job import Claim
from contracts.stack import Stack
from contracts.states import Stage
from jobstore import deployed, heartbeats, sites
from jobstore.failure_policy import code_of, handle_failure
from jobstore.leases import held
from jobstore.orphaned_claims import watch
from jobstore.store import JobStore, LeaseLost
from jobstore.wakeups import TASK, celery_app, wake
from jobstore.worker_identity import worker_name
from jobstore.worker_process import configure_worker
from preprocessing_service.allocation import keep_memory
from preprocessing_service.cpu_limit import within_cpu
from preprocessing_service.metrics import record_escalation, record_failure, record_prepared, record_wait
from preprocessing_service.scratch import folder as scratch_folder
from preprocessing_service.scratch import sweep
from preprocessing_service.settings import Settings
from preprocessing_service.spans import Steps
from runtime import tracing
from runtime.blobs import BlobStore, brain_path, sheet_path, stack_path
from runtime.redis_connections import connect

_log = logging.getLogger("hippocamp.preprocess")

GRACE_SECONDS = 2.0
"""Renewal of the lease stops this long before the time limit kills the process."""


TURN_SECONDS = 1.0
"""How long a worker goes on taking jobs after one wake-up: small jobs need no message each."""

STEP_SECONDS = 0.25
"""Steps that follow each other faster are not told: each telling is a durable write."""


class Prepare(Protocol):
    """Turns a volume file into a stack; tells each step as it starts, and hands over the quality sheet."""

    def __call__(
        self,
        path: Path,
        *,
        scratch: Path | None,
        on_step: Callable[[str], None] | None,
        on_sheet: Callable[[bytes], None] | None,
        allow_agent: bool = False,
    ) -> Stack: ...


@dataclass
class PreprocessingContext:
    """What one worker process works with; `app` sends the wake-ups of the next stage."""

    settings: Settings
    app: Celery
    prepare: Prepare
    digest: str
    name: str = field(default_factory=worker_name)

    def __post_init__(self) -> None:
        self.redis = connect(self.settings.redis_url)
        self.job_store = JobStore(self.redis)
        self.blobs = BlobStore(self.settings.blobs, reserve_bytes=self.settings.disk_reserve_bytes)
        self.heartbeats = deployed.Heartbeats(self.redis)


def work(place: PreprocessingContext) -> None:
    """Take jobs for about TURN_SECONDS; when none waits, report that the stage works."""
    ends = time.monotonic() + TURN_SECONDS
    while time.monotonic() < ends:
        if not work_once(place):
            announce(place)
            return


def work_once(place: PreprocessingContext) -> Claim | None:
    """Take one job as far as its commit; the claim, or None when nothing waited."""
    settings = place.settings
    found = place.job_store.claim(Stage.PREPROCESS, place.name, lease_seconds=settings.lease_seconds)
    if not found:
        return None
    claim, started = found[0], time.monotonic()
    _log.info("job.claimed", extra={**claim.context, "worker": place.name})
    record_wait(claim)
    span = tracing.work(claim)
    most = settings.job_seconds - GRACE_SECONDS
    with held(place.job_store, [claim], lease_seconds=settings.lease_seconds, most_seconds=most):
        try:
            stack, reused = _stack_of(place, claim, span)
            _commit(place, claim, stack)
        except Exception as error:  # noqa: BLE001  whatever a volume provokes must be settled
            tracing.fail(span, code_of(error))
            record_failure(code_of(error), handle_failure(place.job_store, claim, error))
            return claim
        finally:
            span.end()
    seconds = time.monotonic() - started
    record_prepared(seconds, stack.seconds, reused=reused)
    _log.info("job.prepared", extra={**claim.context, "seconds": round(seconds, 3), "reused": reused})
    return claim


def _stack_of(place: PreprocessingContext, claim: Claim, span: Span) -> tuple[Stack, bool]:
    """The stored stack of the same bytes and pipeline, or a new one; and whether it was stored."""
    path = _stack_blob(place, claim)
    if place.blobs.exists(path):
        try:
            return Stack.from_bytes(place.blobs.get(path)), True
        except (ValueError, FileNotFoundError):
            _log.warning("stack.unreadable", extra=claim.context)

    steps, told = Steps(span), 0.0

    def on_step(step: str) -> None:
        nonlocal told
        steps.enter(step)
        if time.monotonic() - told < STEP_SECONDS:
            return
        told = time.monotonic()
        if not place.job_store.renew(claim, lease_seconds=place.settings.lease_seconds, step=step):
            raise LeaseLost(claim.id)

    def on_sheet(png: bytes) -> None:
        sheet = sheet_path(claim.job.site, claim.job.artifact_prefix, place.digest)
        place.blobs.put(sheet, png, durable=False)

    with scratch_folder(place.settings.scratch) as scratch:
        record = claim.record
        stored = record.get("input_digest") or record["content_digest"]
        volume = place.blobs.local_copy(record["input_blob"], scratch, sha256=stored)
        with within_cpu(place.settings.cpu_seconds), steps:
            prepare = partial(place.prepare, volume, scratch=scratch, on_step=on_step, on_sheet=on_sheet)
            stack = _prepared(place, claim, prepare)
    if stack.quality.get("escalated"):
        record_escalation()
    whole = brain_path(claim.job.site, claim.job.artifact_prefix, place.digest)
    place.blobs.put(whole, stack.brain, durable=False)
    place.blobs.put(path, stack.to_bytes(), durable=False)  # inference sends a lost one back
    return stack, False


def _prepared(place: PreprocessingContext, claim: Claim, prepare: Callable[..., Stack]) -> Stack:
    """A contrast-enhanced series is read only for a site that has chosen so."""
    try:
        return prepare()
    except ContrastEnhanced:
        site = sites.find(place.redis, claim.job.site)
        if site is None or not site.allow_contrast:
            raise
        return prepare(allow_agent=True)


def _commit(place: PreprocessingContext, claim: Claim, stack: Stack) -> None:
    fields = {
        "stack_blob": _stack_blob(place, claim),
        "pipeline_digest": place.digest,
        "seconds_preprocess": json.dumps(stack.seconds),
        "quality": json.dumps(stack.quality),
        "series": json.dumps(stack.series.to_json() if stack.series else None),
    }
    if place.job_store.advance(claim, Stage.INFER, fields).lacking:
        wake(place.app, Stage.INFER)
    announce(place)


def announce(place: PreprocessingContext) -> None:
    """Tell the gateway which pipeline is in service and that it works."""
    place.heartbeats.send("preprocess", of="pipeline", digest=place.digest)


def _stack_blob(place: PreprocessingContext, claim: Claim) -> str:
    return stack_path(claim.job.site, claim.job.artifact_prefix, place.digest)


def build(
    settings: Settings, prepare: Prepare, *, digest: Callable[[], str], warm_up: Callable[[], None]
) -> Celery:
    """The Celery application of this stage; every child loads its networks before its first job."""
    app = celery_app("preprocessing", settings.redis_url)
    configure_worker("preprocess", stop_seconds=settings.stop_seconds)
    watch(settings.redis_url, [Stage.PREPROCESS], also=partial(sweep, settings.scratch))
    heartbeats.announce(settings.redis_url)
    places: list[PreprocessingContext] = []

    def open_context(**_: object) -> PreprocessingContext:
        if not places or places[0].name != worker_name():
            places[:] = [PreprocessingContext(settings, app, prepare, digest())]
        return places[0]

    def start(**_: object) -> None:
        if settings.memory_bytes:
            resource.setrlimit(resource.RLIMIT_DATA, (settings.memory_bytes, settings.memory_bytes))
        keep_memory()
        warm_up()
        announce(open_context())

    signals.worker_process_init.connect(start, weak=False)

    @app.task(name=TASK[Stage.PREPROCESS], time_limit=int(settings.job_seconds + TURN_SECONDS))
    def _wake() -> None:
        work(open_context())

    return app
