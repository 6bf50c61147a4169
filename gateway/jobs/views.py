"""A job record as the wire shows it."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Literal

import redis

from contracts.covariates import Covariates
from contracts.errors import JobNotFound
from contracts.job import Job as Record
from contracts.result import Result
from contracts.states import JobState
from gateway.http.links import Link, linker
from gateway.http.problems import describe, kind_of
from gateway.http.schemas import Job, JobSummary, KeptPatient, Links, Outcome, Problem, Progress, Timings
from gateway.reports.notices import Notice, notices_of
from jobstore.replies import NOWHERE, QueueEstimate
from jobstore.store import JobStore
from runtime.redis_failures import about

_log = logging.getLogger("hippocamp.gateway")


def summary(record: Record) -> JobSummary:
    """The job without its position in the queue."""
    return JobSummary.model_validate(_fields(record, linker()))


def view(record: Record, estimate: QueueEstimate, *, link: Link | None = None, outcome: bool = True) -> Job:
    """The job with its position in the queue; `link` stands in where no request is served.

    outcome: whether the caller may know what came out; a key that may only submit may not.
    """
    eta = estimate.eta_seconds
    place = {
        "queue_position": estimate.position,
        "eta_seconds": None if eta is None else round(eta, 1),
    }
    hidden = {} if outcome else {"outcome": None}
    return Job.model_validate(_fields(record, link or linker()) | place | hidden)


def receipt(record: Record, job_store: JobStore, *, outcome: bool = True) -> Job:
    """The view of a job just recorded; without its place when it has ended, or the job store went away."""
    if record.state.is_terminal:
        return view(record, NOWHERE, outcome=outcome)
    try:
        return view(*job_store.look(record.id), outcome=outcome)
    except (redis.RedisError, JobNotFound) as error:
        _log.warning("receipt.without_place", extra={**record.context, **about(error)})
        return view(record, NOWHERE, outcome=outcome)


def cache(record: Record) -> Literal["hit", "miss"]:
    """Whether the result was known when the job came in."""
    return "hit" if record.text("cache") == "hit" else "miss"


def created(record: Record) -> datetime:
    """When the record was written."""
    return record.time("created_ms") or datetime.fromtimestamp(0, tz=UTC)


def notices(record: Record) -> list[Notice]:
    """What a reader of the record's result must know; [] when there is none."""
    found = record.result
    if not found:
        return []
    later = record.text("superseded_by")
    return notices_of(Result.model_validate(found), age=age_of(record), superseded_by=later)


def age_of(record: Record) -> float | None:
    """As the sender told it, else as it was kept of the header; None when neither is there."""
    told = Covariates.of(record.text("covariates")).age if record.text("covariates") else None
    return told if told is not None else int(record.text("patient_age") or 0) or None


def problem(record: Record) -> Problem | None:
    """Why the job ended without a result; None for one that did not fail."""
    code = record.text("error_code")
    if not code:
        return None
    figures = json.loads(record.text("error_figures") or "{}")
    return describe(kind_of(code), record.text("error_detail"), figures, trace=record.text("trace_id"))


def _fields(record: Record, link: Link) -> dict[str, object]:
    return {
        "id": record.id,
        "state": record.state,
        "stage": record.stage,
        "priority": record.text("priority"),
        "batch": record.text("batch") or None,
        "progress": Progress(stage=record.stage, step=_step(record)),
        "attempt": record.attempt,
        "cache": cache(record),
        "content_digest": record.text("content_digest"),
        "size_bytes": int(record.text("size_bytes") or 0),
        "media": record.text("media"),
        "created_at": created(record),
        "updated_at": record.time("updated_ms"),
        "finished_at": record.time("finished_ms"),
        "deadline_at": record.time("deadline_ms"),
        "not_before_at": _not_before(record),
        "timings": _timings(record),
        "trace_id": record.text("trace_id"),
        "patient": _patient(record),
        "model": record.text("wanted_model") or None,
        "rescored_from": record.text("rescored_from") or None,
        "supersedes": record.text("supersedes") or None,
        "superseded_by": record.text("superseded_by") or None,
        "covariates": Covariates.of(record.text("covariates")) if record.text("covariates") else None,
        "error": problem(record),
        "outcome": _outcome(record),
        "links": _links(record, link),
    }


def _not_before(record: Record) -> datetime | None:
    """Only while it holds the job up; a retry that pauses counts too."""
    at = record.time("not_before_ms")
    waits = record.state in {JobState.QUEUED, JobState.QUEUED_INFER}
    return at if waits and at and at > datetime.now(UTC) else None


def _outcome(record: Record) -> Outcome | None:
    found = record.result
    return Outcome(**{name: found[name] for name in ("cdr", "label", "uncertain")}) if found else None


def _patient(record: Record) -> KeptPatient | None:
    age, sex = record.text("patient_age"), record.text("patient_sex")
    if not (age or sex):
        return None
    return KeptPatient.model_validate({"age_years": int(age) if age else None, "sex": sex or None})


def _step(record: Record) -> str | None:
    running = record.state in {JobState.PREPROCESSING, JobState.INFERRING}
    return record.text("step") or None if running else None


def _timings(record: Record) -> Timings:
    return Timings(
        wait_preprocess=record.seconds("created_ms", "started_preprocess_ms"),
        preprocess=record.seconds("started_preprocess_ms", "finished_preprocess_ms"),
        wait_infer=record.seconds("finished_preprocess_ms", "started_infer_ms"),
        infer=record.seconds("started_infer_ms", "finished_infer_ms"),
        total=record.seconds("created_ms", "finished_ms"),
    )


def _judged(record: Record) -> bool:
    return record.text("error_code").startswith("quality.")


def _links(record: Record, link: Link) -> Links:
    done = record.state is JobState.SUCCEEDED

    def when_done(endpoint: str) -> str | None:
        return link(endpoint, job_id=record.id) if done else None

    return Links(
        self=link("jobs.read", job_id=record.id),
        cancel=link("jobs.cancel", job_id=record.id),
        page=link("pages.job", job_id=record.id),
        result=when_done("results.read"),
        slices=when_done("pictures.slices"),
        overview=when_done("pictures.overview"),
        explanation=when_done("pictures.explanation"),
        planes=when_done("planes.index"),
        brain=when_done("planes.brain"),
        qc=link("pictures.quality", job_id=record.id) if done or _judged(record) else None,
    )
