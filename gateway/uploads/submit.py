"""From an upload to a durable job. `submit` is the whole way; below it are its steps, in its order."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import IO

import redis

from contracts.errors import Gone, HippocampError, NotReplicated, StoreUnavailable
from contracts.job import Job, Submission
from contracts.states import Stage
from gateway.http.errors import ModelNotFound
from gateway.http.schemas import SubmitOptions
from gateway.resources import Resources
from gateway.uploads.idempotency import check_same
from gateway.uploads.reading_costs import charge
from gateway.uploads.sanitize.task import KINDS, Sanitized, Task
from gateway.uploads.spool import nameless
from gateway.uploads.upload import Upload
from imaging.sniff import PLAIN
from jobstore import deployed
from jobstore.replies import Submitted
from jobstore.store import AnswerForgotten
from jobstore.wakeups import wake
from runtime.redis_failures import about, failure_of

_log = logging.getLogger("hippocamp.gateway")


@dataclass(frozen=True)
class Accepted:
    """A job that is durable; replayed: it was there already, under the same idempotency key."""

    job: Job
    replayed: bool = False


def submit(upload: Upload, to: Resources, *, reuse: bool = True) -> Accepted:
    """Make the job of an upload; when this returns, its record is durable.

    1. Admit: look for the result of the same bytes. When there is none, the queue must have room, so that
       nothing is read that will be refused.
    2. Sanitize: remove what names a person, in the sandbox. Not needed when the result is known.
    3. Store the blob. Whatever fails up to here leaves none.
    4. Record durably. From here on the blob is deleted only when no record can ever name it (decision 20).
       A record that names another blob is that of the same request before.
    5. Wake up a worker; losing this is harmless.

    reuse: whether a known result may be the answer.
    """
    with _deleted_on_error(upload, to):
        submission = _admit(upload, to, reuse=reuse)  # 1
        with upload.trace.part("store upload"), _sanitized(upload, submission, to) as (file, found):  # 2
            submission = _store(submission, file, found, to)  # 3
    try:
        with upload.trace.part("record"):
            recorded = _record(submission, to)  # 4
    except AnswerForgotten:  # the known result was erased meanwhile
        return submit(upload, to, reuse=False)
    job = Job(recorded.record)
    if job.text("input_blob") != upload.blob:
        return _repeated(upload, submission, job, to)
    _log.info("job.accepted", extra={**job.context, "cache": job.text("cache")})
    if recorded.lacking:
        wake(to.celery, Stage.PREPROCESS)  # 5
    return Accepted(job)


def _admit(upload: Upload, to: Resources, *, reuse: bool) -> Submission:
    """The record to be; Backlog or QuotaExceeded when it needs a place in the queue and there is none."""
    asked = upload.options
    deadline_ms, not_before_ms = _times(asked, to)
    submission = Submission(
        id=upload.job_id,
        site=upload.site,
        content_digest=upload.sent.sha256,
        input_blob=upload.blob,
        size_bytes=upload.sent.size_bytes,
        media=upload.media,
        trace_id=upload.trace.id,
        traceparent=upload.trace.traceparent,
        inbox=upload.inbox,
        supersedes=upload.supersedes,
        priority=asked.priority,
        batch=asked.batch or "",
        covariates=asked.covariates.to_text(),
        wanted_model=_model(asked.model, to),
        deadline_ms=deadline_ms,
        not_before_ms=not_before_ms,
    )
    wanted = {"model": submission.wanted_model, "covariates": submission.covariates}
    if reuse and (known := to.job_store.answers.find(upload.site, upload.sent.sha256, **wanted)):
        return replace(
            submission, result=known.value, answer_key=known.key, cache="hit", unstored=True,
            pipeline_digest=known.pipeline, model_digest=known.model,
        )  # fmt: skip
    to.job_store.check_room(submission, most_waiting=to.settings.most_waiting)
    return submission


def _times(asked: SubmitOptions, to: Resources) -> tuple[int | None, int | None]:
    """Deadline and earliest start in Unix time, ms, by the clock that ends jobs: Redis's."""
    deadline, later = asked.deadline_seconds, asked.not_before_seconds
    if deadline is None and not later:
        return None, None
    now, _ = to.client.time()
    return (now + deadline) * 1000 if deadline else None, (now + later) * 1000 if later else None


def _model(wanted: str | None, to: Resources) -> str:
    found = deployed.named(to.client, wanted) if wanted else ""
    if wanted and not found:
        raise ModelNotFound(f"No one model {wanted} is known here; GET /v1/models lists those that are")
    return found


@contextmanager
def _sanitized(
    upload: Upload, submission: Submission, to: Resources
) -> Iterator[tuple[IO[bytes], Sanitized]]:
    """What may be stored, and what was found of the patient, as far as somebody asked for it.

    A plain volume is sanitized in the file in which it came, unless it goes to a bucket.
    """
    sent, keep = upload.sent.file, upload.kept
    if upload.sanitized or (submission.unstored and not keep):
        found = upload.sanitized or Sanitized(0, "")
        yield sent, replace(found, patient=found.patient.only(keep))
        return
    in_place = to.blobs.folder is not None and upload.media in PLAIN
    task = Task(
        KINDS[upload.media], to.settings.max_upload_bytes, to.settings.uid_secret, in_place=in_place,
        hashed=to.blobs.folder is None,  # only what is fetched over a network is hashed once more
    )  # fmt: skip
    with nullcontext(sent) if in_place else nameless(to.blobs) as file:
        pays = partial(charge, to.client, upload.site)
        found = to.sandbox.sanitize(task, sent, file, site=upload.site, charge=pays)
        yield file, replace(found, patient=found.patient.only(keep))


def _store(submission: Submission, file: IO[bytes], found: Sanitized, to: Resources) -> Submission:
    """The submission with what was stored of it; nothing is when its result is known."""
    patient = found.patient
    submission = replace(submission, patient_age=patient.age_years or None, patient_sex=patient.sex)
    if submission.unstored:
        return submission
    to.blobs.adopt(submission.input_blob, file)
    return replace(submission, stored_bytes=found.size_bytes, input_digest=found.sha256)


def _record(submission: Submission, to: Resources) -> Submitted:
    """The record as it stands, also when Redis's reply is lost, late or cut off."""
    try:
        return to.job_store.submit(submission, most_waiting=to.settings.most_waiting)
    except NotReplicated:
        raise  # the record is there and names its blob: the caller asks again under the same key
    except redis.RedisError as error:
        return Submitted(_settle(submission, to, error), lacking=True)
    except (HippocampError, AnswerForgotten):
        _delete(submission.input_blob, to)
        raise


def _settle(submission: Submission, to: Resources, error: redis.RedisError) -> dict[str, str]:
    """The submit may have been done, or be done later: its record, or see to it that it makes none."""
    try:
        found = to.job_store.uploads.withdraw(submission.id, submission.input_blob)
    except redis.RedisError:
        # workers/maintenance/orphaned_uploads.py settles it
        _log.warning("upload.unsettled", extra={"job": submission.id, **about(error)})
        raise failure_of(error) from error
    if not found:
        _delete(submission.input_blob, to)
        raise failure_of(error) from error
    return found


def _repeated(upload: Upload, submission: Submission, job: Job, to: Resources) -> Accepted:
    """The first job of this id. It gets the new blob if its own is gone; KeyReused, Gone."""
    with _deleted_on_error(upload, to):
        if job.text("kind") != "job":
            raise Gone(f"Job {submission.id} was erased")
        check_same(job, submission)
    if _takes_over(submission, job, to):
        _log.warning("upload.replaced", extra=job.context)
    else:
        _delete(upload.blob, to)
    return Accepted(job, replayed=True)


def _takes_over(submission: Submission, job: Job, to: Resources) -> bool:
    """Whether the job, recorded before, now names the blob of this repeated request: its own was gone.

    True also when that cannot be known: then the blob stays until nobody has named it for long.
    """
    if submission.unstored or job.state.is_terminal:
        return False
    try:
        return not to.blobs.exists(job.text("input_blob")) and to.job_store.uploads.replace(job, submission)
    except StoreUnavailable:
        return False
    except redis.RedisError:
        return True


@contextmanager
def _deleted_on_error(upload: Upload, to: Resources) -> Iterator[None]:
    """Whatever fails in here leaves no blob behind."""
    try:
        yield
    except BaseException:
        _delete(upload.blob, to)
        raise


def _delete(path: str, to: Resources) -> None:
    try:
        to.blobs.delete(path)
    except StoreUnavailable:
        _log.warning("upload.not_discarded", extra={"path": path})
