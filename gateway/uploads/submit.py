"""Taking a job: bytes to the blob store, then the durable record, then a wake-up; in that order."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from contracts.errors import Gone, StoreUnavailable
from contracts.job import Job, Submission, new_job_id
from contracts.states import Stage
from gateway.http.errors import ModelNotFound
from gateway.http.operations import validated
from gateway.http.schemas import SubmitOptions
from gateway.http.trace import Trace
from gateway.resources import Resources
from gateway.uploads.idempotency import check_same
from gateway.uploads.incoming import Incoming
from gateway.uploads.recording import record, takes_over
from gateway.uploads.sanitize.task import Cleaned
from gateway.uploads.spool import Sent, spooled
from imaging.patient import Patient
from imaging.sniff import PLAIN
from jobstore import deployed
from jobstore.store import AnswerForgotten
from jobstore.wakeups import wake
from runtime.blobs import Received, input_path

_log = logging.getLogger("hippocamp.gateway")

_SMALL = 1 << 20
"""Bytes that may come in vain."""


@dataclass(frozen=True)
class Holding:
    """The bytes of a submission: `store` is called before its record, `discard` when no record names them."""

    discard: Callable[[], None]
    store: Callable[[Submission], Submission]


@dataclass(frozen=True)
class Accepted:
    """A job that is durable; replayed: it was there already, under the same idempotency key."""

    job: Job
    replayed: bool = False


def accept(upload: Incoming, to: Resources, *, job_id: str, site: str, trace: Trace) -> Accepted:
    """Take one volume; when this returns, the record is durable.

    1. See whether the disks have room and, unless it is small, whether the job store is there, before a
       gigabyte is taken for nothing.
    2. Take the body into a file without a name; what it earns on the way (InputError) leaves nothing behind.
    3. Look for the result of the same bytes, pipeline, model and site.
    4. When there is none, store the volume, without what names a person; a large one only if the job store
       has room for it, because a full queue must not spend its workers' time on what it will refuse.
    5. Write the record; the same call returns it, so that nothing after it can fail. Whatever fails up to
       here discards the volume, once it is certain that no record will ever name it (recording.py).
    6. If the record names another upload, this is a repeated request: discard, answer with the first job,
       which gets the new upload if its own is gone.
    7. Send a wake-up, unless as many as jobs wait are on their way; losing it is harmless.
    """
    to.disks.check()
    if upload.announced_bytes is None or upload.announced_bytes > _SMALL:
        to.client.ping()
    path = input_path(site, new_job_id())
    with ExitStack() as held:
        with trace.part("receive upload"):
            sent = upload.whole() or held.enter_context(spooled(upload.chunks(), to.blobs))
        bare = _bare(
            Received(path, sent.size_bytes, sent.sha256), upload, job_id=job_id, site=site, trace=trace
        )

        def store(submission: Submission) -> Submission:
            with trace.part("store upload"):
                return _stored(submission, upload, sent, to)

        holding = Holding(lambda: _discard(to, path), store)
        return admit(bare, upload.options, to, trace=trace, holding=holding)


def check_room(to: Resources, site: str, *, job_id: str = "") -> None:
    """DiskNearlyFull, Backlog or QuotaExceeded when the next volume of the site would not be taken.

    job_id: of a request that may be repeated; one whose job is recorded needs no room.
    """
    if job_id and to.job_store.record(job_id):
        return
    to.disks.check()
    unknown = Submission(
        id=job_id or new_job_id(), site=site, content_digest="", input_blob="", size_bytes=0, media=""
    )
    to.job_store.check_room(unknown, most_waiting=to.settings.most_waiting)


def admit(
    bare: Submission, given: Mapping[str, str], to: Resources, *, trace: Trace, holding: Holding
) -> Accepted:
    """Steps 3 to 7, for bytes that have been seen whole."""
    with _or_discarded(holding):
        submission = holding.store(_look_up(_with_options(bare, given, to), to))
    with trace.part("record"):
        try:
            recorded = record(submission, to, holding.discard)
        except AnswerForgotten:
            with _or_discarded(holding):
                submission = holding.store(_as_new(submission))
            recorded = record(submission, to, holding.discard)
    job = Job(recorded.record)
    if job.text("input_blob") != bare.input_blob:
        return _repeated(submission, job, to, holding)
    _log.info("job.accepted", extra={**job.context, "cache": job.text("cache")})
    if recorded.lacking:
        wake(to.celery, Stage.PREPROCESS)
    return Accepted(job)


def _repeated(submission: Submission, job: Job, to: Resources, holding: Holding) -> Accepted:
    """The answer of the first request with this id; its job gets the new upload if its own is gone."""
    with _or_discarded(holding):
        if job.text("kind") != "job":
            raise Gone(f"Job {submission.id} was erased")
        check_same(job, submission)
    if takes_over(submission, job, to):
        _log.warning("upload.replaced", extra=job.context)
    else:
        holding.discard()
    return Accepted(job, replayed=True)


@contextmanager
def _or_discarded(holding: Holding) -> Iterator[None]:
    """Whatever fails in here leaves no volume behind."""
    try:
        yield
    except BaseException:
        holding.discard()
        raise


def _stored(submission: Submission, upload: Incoming, sent: Sent, to: Resources) -> Submission:
    """Store the cleaned volume, unless its result is known; note of the patient what was asked for."""
    sent.file.seek(0)
    asked = frozenset(filter(None, (validated(SubmitOptions, upload.options).keep or "").split(",")))
    patient = Patient()
    if submission.cache == "miss":
        to.job_store.check_room(submission, most_waiting=to.settings.most_waiting)
        kept = _kept(submission.input_blob, upload, sent, to)
        patient = kept.patient
        submission = replace(submission, stored_bytes=kept.size_bytes, input_digest=kept.sha256)
    else:
        submission = replace(submission, unstored=True)
        if asked:
            with Path(os.devnull).open("wb") as nowhere:
                patient = upload.clean(sent, nowhere).patient
    patient = patient.only(asked)
    return replace(submission, patient_age=patient.age_years or None, patient_sex=patient.sex)


def _kept(path: str, upload: Incoming, sent: Sent, to: Resources) -> Cleaned:
    """The clean bytes as the blob: in a new file, or in the one in which they came."""
    if to.blobs.folder and upload.sniffed and upload.sniffed.media in PLAIN:
        kept = upload.clean(sent, sent.file)
        to.blobs.adopt(path, sent.file)
        return kept
    with to.blobs.blank(path) as out:
        return upload.clean(sent, out)


def _bare(received: Received, upload: Incoming, *, job_id: str, site: str, trace: Trace) -> Submission:
    return Submission(
        id=job_id,
        site=site,
        content_digest=received.sha256,
        input_blob=received.path,
        size_bytes=received.size_bytes,
        media=upload.sniffed.media if upload.sniffed else "",
        trace_id=trace.id,
        traceparent=trace.traceparent,
    )


def _with_options(bare: Submission, given: Mapping[str, str], to: Resources) -> Submission:
    options = validated(SubmitOptions, given)
    bare = replace(
        bare, priority=options.priority, batch=options.batch or "", covariates=options.covariates.to_text(),
        wanted_model=_model(options.model, to),
    )  # fmt: skip
    deadline, later = options.deadline_seconds, options.not_before_seconds
    if deadline is None and not later:
        return bare
    now, _ = to.client.time()  # Redis's clock is the one that expires jobs
    return replace(
        bare,
        deadline_ms=(now + deadline) * 1000 if deadline else None,
        not_before_ms=(now + later) * 1000 if later else None,
    )


def _model(wanted: str | None, to: Resources) -> str:
    found = deployed.named(to.client, wanted) if wanted else ""
    if wanted and not found:
        raise ModelNotFound(f"No one model {wanted} is known here; GET /v1/models lists those that are")
    return found


def _look_up(fresh: Submission, to: Resources) -> Submission:
    known = to.job_store.answers.find(
        fresh.site, fresh.content_digest, model=fresh.wanted_model, covariates=fresh.covariates
    )
    if not known:
        return fresh
    return replace(
        fresh, result=known.value, answer_key=known.key, cache="hit", pipeline_digest=known.pipeline,
        model_digest=known.model,
    )  # fmt: skip


def _as_new(hit: Submission) -> Submission:
    """Without the answer that was found, and is gone."""
    new = replace(hit, result="", answer_key="", cache="miss", unstored=False)
    return replace(new, pipeline_digest="", model_digest="")


def _discard(to: Resources, path: str) -> None:
    try:
        to.blobs.delete(path)
    except StoreUnavailable:
        _log.warning("upload.not_discarded", extra={"path": path})
