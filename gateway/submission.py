"""Taking a job: bytes to the blob store, then the durable record, then a wake-up; in that order."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import redis
from kombu.exceptions import KombuError

from contracts import deployed
from contracts.blobs import Received, input_path
from contracts.errors import Gone, LineUnavailable, NotReplicated, StoreUnavailable
from contracts.job import Job, Submission, new_job_id
from contracts.moves import Submitted
from contracts.result import cache_key
from contracts.states import Stage
from contracts.wakeups import wake
from gateway.idempotency import check_same
from gateway.operations import validated
from gateway.resources import Resources
from gateway.schemas import SubmitOptions
from gateway.sniff import Sniffed
from gateway.trace import Trace

_log = logging.getLogger("hippocamp.gateway")


class Incoming(Protocol):
    """One volume on its way in; `sniffed` and `options` are complete once `chunks` is exhausted."""

    @property
    def sniffed(self) -> Sniffed | None:
        """The container the bytes were recognised as."""

    @property
    def options(self) -> Mapping[str, str]:
        """What the caller asked for."""

    def chunks(self) -> Iterator[bytes]:
        """The bytes; raises the InputError they earn."""


@dataclass(frozen=True)
class Accepted:
    """A job that is durable; replayed: it was there already, under the same idempotency key."""

    job: Job
    replayed: bool = False


def accept(upload: Incoming, to: Resources, *, job_id: str, site: str, trace: Trace) -> Accepted:
    """Take one volume; when this returns, the record is durable.

    1. Ask the line whether it is there, before a gigabyte is taken for nothing.
    2. Stream the body into the blob store; what it earns on the way (InputError) leaves nothing behind.
    3. Look for the result of the same bytes, pipeline, model and site.
    4. Write the record; the same call returns it, so that nothing after it can fail. Whatever fails up to
       here discards the upload, unless the record may exist.
    5. If the record names another upload, this is a repeated request: discard, answer with the first job.
    6. Send a wake-up, unless as many as jobs wait are on their way; losing it is harmless.
    """
    to.client.ping()
    with trace.span.child("store upload"):
        received = to.blobs.receive(input_path(site, new_job_id()), upload.chunks())
    bare = _bare(received, upload, job_id=job_id, site=site, trace=trace)
    return admit(bare, upload.options, to, trace=trace, discard=lambda: _discard(to, received.path))


def admit(
    bare: Submission, given: Mapping[str, str], to: Resources, *, trace: Trace, discard: Callable[[], None]
) -> Accepted:
    """Steps 3 to 6, for bytes that lie in the store; `discard` is called when no record can name them."""
    try:
        submission = _look_up(_with_options(bare, given, to), to)
    except BaseException:
        discard()
        raise
    with trace.span.child("record"):
        recorded = _record(submission, to, discard)
    job = Job(recorded.record)
    if job.text("input_blob") != bare.input_blob:
        _discard(to, bare.input_blob)
        if job.text("kind") != "job":
            raise Gone(f"Job {bare.id} was erased")
        check_same(job, submission)
        return Accepted(job, replayed=True)
    _log.info("job.accepted", extra={**job.context, "cache": job.text("cache")})
    if recorded.lacking:
        wake_quietly(to, Stage.PREPROCESS)
    return Accepted(job)


def _bare(received: Received, upload: Incoming, *, job_id: str, site: str, trace: Trace) -> Submission:
    return Submission(
        id=job_id,
        site=site,
        content_digest=received.sha256,
        input_blob=received.path,
        size_bytes=received.size_bytes,
        media=upload.sniffed.media if upload.sniffed else "",
        trace_id=trace.id,
        traceparent=trace.span.traceparent,
    )


def _with_options(bare: Submission, given: Mapping[str, str], to: Resources) -> Submission:
    options = validated(SubmitOptions, given)
    bare = replace(bare, priority=options.priority, batch=options.batch or "")
    deadline, later = options.deadline_seconds, options.not_before_seconds
    if deadline is None and not later:
        return bare
    now, _ = to.client.time()  # Redis's clock is the one that expires jobs
    return replace(
        bare,
        deadline_ms=(now + deadline) * 1000 if deadline else None,
        not_before_ms=(now + later) * 1000 if later else None,
    )


def _look_up(fresh: Submission, to: Resources) -> Submission:
    pipeline, model = deployed.current(to.client)
    if not (pipeline and model):
        return fresh
    key = cache_key(fresh.site, fresh.content_digest, pipeline=pipeline, model=model)
    known = to.line.answers.find(fresh.site, fresh.content_digest, key)
    if not known:
        return fresh
    hit = replace(fresh, result=known, answer_key=key, cache="hit")
    return replace(hit, pipeline_digest=pipeline, model_digest=model)


def _record(submission: Submission, to: Resources, discard: Callable[[], None]) -> Submitted:
    try:
        return to.line.submit(submission, most_waiting=to.settings.most_waiting)
    except NotReplicated:
        raise  # the record is there, and its upload with it: the caller asks again under the same key
    except redis.RedisError as error:
        return Submitted(_settle(submission, to, error, discard), lacking=True)
    except BaseException:
        discard()
        raise


def _settle(
    submission: Submission, to: Resources, error: redis.RedisError, discard: Callable[[], None]
) -> dict[str, str]:
    """The call may have reached Redis before it broke: only a record that is not there frees the upload."""
    try:
        record = to.line.record(submission.id)
    except redis.RedisError:
        _log.warning("upload.orphaned", extra={"job": submission.id})
        raise LineUnavailable("The job store went away while the job was recorded; send it again") from error
    if not record:
        discard()
        raise LineUnavailable("The job store refused the record; send it again later") from error
    return record


def _discard(to: Resources, path: str) -> None:
    try:
        to.blobs.delete(path)
    except StoreUnavailable:
        _log.warning("upload.not_discarded", extra={"path": path})


def wake_quietly(to: Resources, stage: Stage) -> None:
    """Send one wake-up; a broker that is away is only logged, because `maintain` tops wake-ups up."""
    try:
        wake(to.wakeups, stage)
    except (KombuError, redis.RedisError, OSError):
        _log.warning("wakeup.not_sent", exc_info=True)
