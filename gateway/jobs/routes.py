"""Submitting, reading, listing and cancelling jobs."""

from __future__ import annotations

import logging
from functools import partial

from flask import Blueprint, current_app, request

from contracts.covariates import Covariates
from contracts.errors import (
    Backlog,
    BadCovariate,
    BadGeometry,
    BadRequest,
    BadSeries,
    BadVoxels,
    BatchNotFound,
    CorruptFile,
    DiskNearlyFull,
    EmptyFile,
    Gone,
    NotAVolume,
    NotThreeD,
    StoreUnavailable,
    TooLarge,
    TruncatedFile,
    WrongState,
)
from contracts.job import Job as Record
from contracts.states import JobState, Priority
from gateway.access.auth import current_site, may_read, own_job, own_place
from gateway.http.errors import (
    NO_JOB,
    KeyReused,
    ModelNotFound,
    UnsupportedMediaType,
    UploadMissing,
    UploadNotFound,
    UploadUsed,
)
from gateway.http.links import Link, lasting_linker
from gateway.http.operations import JSON, Header, Operation, ViewAnswer, json_body, operation, validated
from gateway.http.schemas import BATCH_ID, KEEP, MODEL, MOST_DEADLINE, Job, JobPage, JobQuery, VolumeForm
from gateway.http.trace import trace
from gateway.jobs import listing, views
from gateway.jobs.long_polling import preferred_wait, until_ended
from gateway.resources import Resources, resources
from gateway.server.handover import FOLLOW, behind_front
from gateway.server.held_answers import Wait
from gateway.uploads.direct import find_ticket, submit_direct
from gateway.uploads.direct_schemas import UploadedVolume
from gateway.uploads.idempotency import HEADER, KEY, REPLAYED, job_id_for
from gateway.uploads.receive import FORM, FORM_OVERHEAD, RAW, check_declared, received
from gateway.uploads.submit import Accepted
from gateway.uploads.submit import submit as submit_upload
from gateway.uploads.upload import check_room
from jobstore import keys
from jobstore.replies import NOWHERE

_log = logging.getLogger("hippocamp.gateway")

blueprint = Blueprint("jobs", __name__, url_prefix="/v1/jobs")

_COVARIATES = Covariates.model_json_schema()["properties"]


def _covariate(name: str) -> dict[str, object]:
    """The schema of a header that is sent or not, never null."""
    return next(one for one in _COVARIATES[name]["anyOf"] if one["type"] != "null")


def _check_head() -> int:
    """What is wrong with a volume before it comes; what it may measure."""
    to = resources()
    if request.mimetype == JSON:
        return int(current_app.config["MAX_CONTENT_LENGTH"])
    check_declared(request, to)
    key = request.headers.get(HEADER)
    check_room(to, current_site(), job_id=job_id_for(current_site(), key) if key else "")
    return to.settings.max_upload_bytes + FORM_OVERHEAD


_SUBMIT = Operation(
    "Submit one T1-weighted volume",
    "jobs",
    {202: Job, 200: Job},
    errors=(
        BadRequest, BadCovariate, EmptyFile, NotAVolume, NotThreeD, BadGeometry, BadVoxels, BadSeries,
        TruncatedFile, CorruptFile, TooLarge, UnsupportedMediaType, KeyReused, BatchNotFound, ModelNotFound,
        Gone, Backlog, StoreUnavailable, DiskNearlyFull, UploadNotFound, UploadMissing, UploadUsed,
    ),
    uploads={FORM: VolumeForm, JSON: UploadedVolume, **dict.fromkeys(RAW)},
    head=_check_head,
    headers={
        HEADER: Header(
            "a request repeated with the same key is answered with the first job",
            {"type": "string", "pattern": KEY},
        ),
        "Prefer": Header("wait=N: answer when the job has ended, or after N (at most 60) seconds"),
        "Hippocamp-Priority": Header(
            "order among the site's own jobs; for raw bodies, a form field does the same",
            {"type": "string", "enum": list(Priority)},
        ),
        "Hippocamp-Deadline-Seconds": Header(
            "give up after so many seconds; for raw bodies",
            {"type": "integer", "minimum": 1, "maximum": MOST_DEADLINE},
        ),
        "Hippocamp-Not-Before-Seconds": Header(
            "start no sooner than in so many seconds; for raw bodies",
            {"type": "integer", "minimum": 0, "maximum": MOST_DEADLINE},
        ),
        "Hippocamp-Keep": Header(
            "what of a DICOM header to note with the job: age, sex or both; for raw bodies",
            {"type": "string", "pattern": KEEP},
        ),
        "Hippocamp-Batch": Header(
            "the batch it belongs to; for raw bodies", {"type": "string", "pattern": BATCH_ID}
        ),
        "Hippocamp-Model": Header(
            "digest of the model that is to answer; for raw bodies", {"type": "string", "pattern": MODEL}
        ),
        "Hippocamp-Age": Header("years, for the clinical answer; for raw bodies", _covariate("age")),
        "Hippocamp-Sex": Header("for the clinical answer; for raw bodies", _covariate("sex")),
        "Hippocamp-Education": Header("level, 1 to 5; for raw bodies", _covariate("education")),
        "Hippocamp-MMSE": Header("points, 0 to 30; for raw bodies", _covariate("mmse")),
    },
)  # fmt: skip


@blueprint.post("")
@operation(_SUBMIT)
def submit() -> ViewAnswer:
    """Take a volume; 202 once its record is durable, 200 with the finished job when its result is known."""
    to = resources()
    key = request.headers.get(HEADER)
    accepted = _by_reference(to, key) if request.mimetype == JSON else _by_body(to, key)
    record, wait = accepted.job, preferred_wait(request.headers.get("Prefer", ""))
    replayed = {REPLAYED: "true"} if accepted.replayed else {}
    if wait and not record.state.is_terminal:
        if behind_front():
            request.environ[FOLLOW] = Wait(
                record.id, wait, partial(_ended, lasting_linker(), outcome=may_read())
            )
        else:
            record = until_ended(to.job_store, record, wait)
            replayed["Preference-Applied"] = f"wait={wait}"
    job = views.receipt(record, to.job_store, outcome=may_read())
    where = {"Location": job.links.self} | replayed
    if job.state.is_terminal:
        return ViewAnswer(job, 200, where)
    return ViewAnswer(job, 202, where | {"Retry-After": _poll_again(job)})


def _ended(link: Link, record: Record, *, outcome: bool) -> bytes:
    """The answer of a caller who waited until the job had ended; `outcome` as in `views.view`."""
    found = views.view(record, NOWHERE, link=link, outcome=outcome)
    return found.model_dump_json(by_alias=True).encode()


def _by_body(to: Resources, key: str | None) -> Accepted:
    job_id = job_id_for(current_site(), key)
    request.max_content_length = to.settings.max_upload_bytes + FORM_OVERHEAD
    with received(request, to, job_id=job_id) as upload:
        return submit_upload(upload, to)


def _by_reference(to: Resources, key: str | None) -> Accepted:
    """An upload is one job's, so without a key its own id makes a repeated call the same one."""
    named = validated(UploadedVolume, json_body())
    job_id = job_id_for(current_site(), key or named.upload)
    ticket = find_ticket(to, site=current_site(), upload_id=named.upload)
    return submit_direct(to, ticket, named, job_id=job_id, trace=trace())


@blueprint.get("")
@operation(Operation("List the site's jobs, newest first", "jobs", {200: JobPage}, query=JobQuery))
def index(query: JobQuery) -> JobPage:
    """One page of jobs; follow `next` until it is null."""
    kept_in, wanted = keys.jobs_of_site(current_site()), listing.asked_for(query)
    found, following = listing.page(
        resources().client, kept_in, wanted=wanted, after=query.after, limit=query.limit
    )
    return JobPage(jobs=[views.summary(job) for job in found], next=following)


@blueprint.get("/<job_id>")
@operation(Operation("Read one job", "jobs", {200: Job}, errors=NO_JOB))
def read(job_id: str) -> ViewAnswer:
    """State, position in the queue and links; poll no faster than `Retry-After` says."""
    job = views.view(*own_place(job_id))
    return ViewAnswer(job, 200, {} if job.state.is_terminal else {"Retry-After": _poll_again(job)})


@blueprint.post("/<job_id>/cancel")
@operation(Operation("Cancel a job that has not ended", "jobs", {200: Job}, errors=(*NO_JOB, WrongState)))
def cancel(job_id: str) -> Job:
    """End the job in whatever stage it is; cancelling a canceled job changes nothing."""
    line, job = resources().job_store, own_job(job_id)
    state = line.cancel(job.id)
    if state is not JobState.CANCELED:
        raise WrongState(f"The job has {state} already", state=state)
    _log.info("job.canceled", extra=job.context)
    return views.view(*line.look(job_id), outcome=may_read())


def _poll_again(job: Job) -> str:
    return str(min(30, max(1, round(job.eta_seconds or 1))))
