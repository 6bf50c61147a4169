"""One batch of the infer stage: claim what fits, score it in one request, commit each job by itself."""

from __future__ import annotations

import logging
import time

import redis

from contracts.errors import Gone
from contracts.job import Claim
from contracts.states import Stage
from jobstore.failure_policy import code_of, settle
from jobstore.leases import held
from jobstore.result_cache import CacheEntry, cache_key
from jobstore.store import LeaseLost
from jobstore.wakeups import another, wake
from runtime.blobs import explanation_path
from runtime.redis_failures import about
from workers.context import WorkerContext
from workers.inference.model_server import Answer, NotRead
from workers.inference.requests import Head, ask_all, loaded, named
from workers.inference.results import explanation_of, refuse_strange, result_of
from workers.inference.spans import BatchSpans
from workers.metrics import record_answer, record_batch, record_failure, record_wait

_log = logging.getLogger("hippocamp.infer")

MOST_SENT_BACK = 2
"""Times that a job may be prepared anew because its stack was not there."""


TURN_SECONDS = 1.0
"""How long a worker goes on taking batches after one wake-up."""


def work(place: WorkerContext) -> None:
    """Take batches for about TURN_SECONDS; while none waits, listen for the next wake-up."""
    ends = time.monotonic() + TURN_SECONDS
    while (left := ends - time.monotonic()) > 0:
        if not work_once(place) and not another(place.redis, Stage.INFER, left):
            return


def work_once(place: WorkerContext) -> list[Claim]:
    """Take up to one batch as far as its commits; the claims, [] when none waited or the breaker is open."""
    limit = place.model.allowance(place.settings.infer_batch)
    lease = place.settings.lease_seconds
    claims = place.job_store.claim(Stage.INFER, place.name, limit=limit, lease_seconds=lease) if limit else []
    if not claims:
        return []
    started = time.monotonic()
    for claim in claims:
        record_wait(claim)
        _log.info("job.claimed", extra={**claim.context, "worker": place.name, "batch": len(claims)})
    spans = BatchSpans(claims)
    with held(place.job_store, claims, lease_seconds=lease, most_seconds=place.settings.infer_limit_seconds):
        try:
            _work(place, claims, spans)
        finally:
            spans.end()
    record_batch(time.monotonic() - started, len(claims))
    return claims


def _work(place: WorkerContext, claims: list[Claim], spans: BatchSpans) -> None:
    if place.by_name:
        try:
            answers = ask_all(place, [named(claim) for claim in claims], spans)
        except NotRead as error:
            _log.warning("stack.not_read", extra={"worker": place.name, "detail": str(error)})
        else:
            _commit_all(place, claims, answers, spans)
            return
    _work_by_bytes(place, claims, spans)


def _work_by_bytes(place: WorkerContext, claims: list[Claim], spans: BatchSpans) -> None:
    heads: dict[str, Head] = {}
    for claim in claims:
        try:
            heads[claim.id] = loaded(place, claim)
        except (FileNotFoundError, ValueError) as error:
            _send_back(place, claim, error, spans)
        except Exception as error:  # noqa: BLE001  one unreadable stack must not stop the others
            _settle(place, claim, error, spans)
    ready = [claim for claim in claims if claim.id in heads]
    if ready:
        _commit_all(place, ready, ask_all(place, list(heads.values()), spans), spans)


def _commit_all(
    place: WorkerContext, claims: list[Claim], answers: list[Answer | Exception], spans: BatchSpans
) -> None:
    _note_health(place, claims, answers)
    for claim, answer in zip(claims, answers, strict=True):
        try:
            if isinstance(answer, Exception):
                raise answer
            _commit(place, claim, answer)
        except Exception as error:  # noqa: BLE001  every job of the batch is settled by itself
            _settle(place, claim, error, spans)


def _send_back(place: WorkerContext, claim: Claim, error: Exception, spans: BatchSpans) -> None:
    """A stack that is gone or damaged is made again from the upload, which is kept until the job ends."""
    times = int(claim.record.get("sent_back", "0"))
    if not claim.record.get("input_blob"):  # a rescored head has no upload
        _settle(place, claim, Gone("The prepared slices are no longer kept; send the volume again"), spans)
        return
    if times >= MOST_SENT_BACK:
        _settle(place, claim, error, spans)
        return
    try:
        place.job_store.advance(claim, Stage.PREPROCESS, {"sent_back": times + 1})
    except (LeaseLost, redis.RedisError) as refused:
        _settle(place, claim, refused, spans)
        return
    _log.warning("stack.gone", extra=claim.context)
    wake(place.redis, Stage.PREPROCESS)


def _note_health(place: WorkerContext, claims: list[Claim], answers: list[Answer | Exception]) -> None:
    """Tell the gateway what real work showed; a lost Redis is met again at the commits.

    The model in service is the one that answers those who name none.
    """
    good = [a for a in answers if isinstance(a, Answer)]
    pairs = zip(claims, answers, strict=True)
    current = [a.digest for claim, a in pairs if isinstance(a, Answer) and not claim.job.text("wanted_model")]
    try:
        if good:
            place.prove_model(current[0] if current else "")
            place.proofs.tell("infer")
    except redis.RedisError as error:
        _log.warning("health.not_noted", extra=about(error))


def _commit(place: WorkerContext, claim: Claim, answer: Answer) -> None:
    record = claim.record
    refuse_strange(answer, place.settings.most_distance)
    site, content, pipeline = record["site"], record["content_digest"], record["pipeline_digest"]
    found = result_of(claim, answer)
    result = found.model_dump_json()
    blob = explanation_path(site, claim.job.artifact_prefix, pipeline=pipeline, model=answer.digest)
    place.blobs.put(blob, explanation_of(answer).to_bytes())
    told = record.get("covariates", "")
    key = cache_key(site, content, pipeline=pipeline, model=answer.digest, covariates=told)
    fields = {"result": result, "explanation_blob": blob, "model_digest": answer.digest}
    done = place.job_store.succeed(claim, fields, cache=CacheEntry(key, result, place.settings.cache_seconds))
    record_answer(found.cdr, found.out_of_distribution)
    _log.info("job.succeeded", extra=claim.context)
    wake(place.redis, Stage.DELIVER, done.deliveries)


def _settle(place: WorkerContext, claim: Claim, error: Exception, spans: BatchSpans) -> None:
    spans.failed(claim, code_of(error))
    record_failure(code_of(error), settle(place.job_store, claim, error))
