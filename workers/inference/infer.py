"""One batch of the infer stage: claim what fits, score it (batch_scorer.py), commit each job by itself."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence

import redis

from contracts.errors import Gone
from contracts.job import Claim
from contracts.states import Stage
from jobstore.failure_policy import code_of, handle_failure
from jobstore.leases import held
from jobstore.result_cache import CacheEntry, cache_key
from jobstore.wakeups import wake
from runtime.blobs import explanation_path
from runtime.redis_failures import about
from workers.context import WorkerContext
from workers.inference.batch_scorer import Score, StackMissing
from workers.inference.prediction import ModelAnswer
from workers.inference.results import explanation_of, refuse_out_of_distribution, result_of
from workers.inference.spans import BatchSpans
from workers.metrics import record_answer, record_batch, record_failure, record_wait

_log = logging.getLogger("hippocamp.infer")

MOST_SENT_BACK = 2
"""Times that a job may be prepared anew because its stack was not there."""


TURN_SECONDS = 1.0
"""How long a worker goes on taking batches after one wake-up."""


def work(context: WorkerContext) -> None:
    """Take batches for about TURN_SECONDS, or until none waits."""
    ends = time.monotonic() + TURN_SECONDS
    while time.monotonic() < ends and work_once(context):
        pass


def work_once(context: WorkerContext) -> list[Claim]:
    """Take up to one batch as far as its commits; the claims, [] when none waited or the breaker is open.

    1. Claim as many jobs as fit a batch, and hold their leases while they are worked on.
    2. Score them together: one answer or error a job.
    3. Commit each job by itself: its result, its failure, or its way back to preprocessing.
    """
    claims = _claim(context)
    if not claims:
        return []
    started, spans = time.monotonic(), BatchSpans(claims)
    lease, most = context.settings.lease_seconds, context.settings.infer_limit_seconds
    with held(context.job_store, claims, lease_seconds=lease, most_seconds=most):
        try:
            scores = context.scorer.score(claims, spans)
            _report_health(context, claims, scores)
            for claim in claims:
                _finish(context, claim, scores[claim.id], spans)
        finally:
            spans.end()
    record_batch(time.monotonic() - started, len(claims))
    return claims


def _claim(context: WorkerContext) -> list[Claim]:
    limit = context.model.allowance(context.settings.infer_batch)
    if not limit:
        return []
    lease = context.settings.lease_seconds
    claims = context.job_store.claim(Stage.INFER, context.name, limit=limit, lease_seconds=lease)
    for claim in claims:
        record_wait(claim)
        _log.info("job.claimed", extra={**claim.context, "worker": context.name, "batch": len(claims)})
    return claims


def _report_health(context: WorkerContext, claims: Sequence[Claim], scores: Mapping[str, Score]) -> None:
    """Publish what real work showed; a lost Redis is met again at the commits.

    The model in service is the one that answers jobs that name none.
    """
    pairs = [(claim, scores[claim.id]) for claim in claims]
    answered = [(claim, score) for claim, score in pairs if isinstance(score, ModelAnswer)]
    if not answered:
        return
    in_service = next((a.digest for claim, a in answered if not claim.job.text("wanted_model")), "")
    try:
        context.report_model(in_service)
        context.heartbeats.send("infer")
    except redis.RedisError as error:
        _log.warning("health.not_noted", extra=about(error))


def _finish(context: WorkerContext, claim: Claim, score: Score, spans: BatchSpans) -> None:
    try:
        if isinstance(score, StackMissing):
            _prepare_again(context, claim, score)
        elif isinstance(score, Exception):
            raise score
        else:
            _commit(context, claim, score)
    except Exception as error:  # noqa: BLE001  every job of the batch ends by itself
        spans.failed(claim, code_of(error))
        record_failure(code_of(error), handle_failure(context.job_store, claim, error))


def _prepare_again(context: WorkerContext, claim: Claim, missing: StackMissing) -> None:
    """A stack that is gone or damaged is made again from the upload, which is kept until the job ends."""
    times = int(claim.record.get("sent_back", "0"))
    if not claim.record.get("input_blob"):  # a rescored job has no upload
        raise Gone("The prepared slices are no longer kept; send the volume again")
    if times >= MOST_SENT_BACK:
        raise missing.reason
    context.job_store.advance(claim, Stage.PREPROCESS, {"sent_back": times + 1})
    _log.warning("stack.gone", extra=claim.context)
    wake(context.app, Stage.PREPROCESS)


def _commit(context: WorkerContext, claim: Claim, answer: ModelAnswer) -> None:
    record = claim.record
    refuse_out_of_distribution(answer, context.settings.most_distance)
    site, content, pipeline = record["site"], record["content_digest"], record["pipeline_digest"]
    found = result_of(claim, answer)
    result = found.model_dump_json()
    blob = explanation_path(site, claim.job.artifact_prefix, pipeline=pipeline, model=answer.digest)
    context.blobs.put(blob, explanation_of(answer).to_bytes())
    covariates = record.get("covariates", "")
    key = cache_key(site, content, pipeline=pipeline, model=answer.digest, covariates=covariates)
    fields = {"result": result, "explanation_blob": blob, "model_digest": answer.digest}
    done = context.job_store.succeed(
        claim, fields, cache=CacheEntry(key, result, context.settings.cache_seconds)
    )
    record_answer(found.cdr, found.out_of_distribution)
    _log.info("job.succeeded", extra=claim.context)
    wake(context.app, Stage.DELIVER, done.deliveries)
