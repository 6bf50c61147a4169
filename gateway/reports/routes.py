"""The answer about a volume."""

from __future__ import annotations

from flask import Blueprint, Response, request

from contracts.errors import StoreUnavailable, WrongState
from contracts.job import Job
from contracts.states import JobState
from gateway.access.auth import own_job
from gateway.http.errors import NO_JOB, NoPictures, NotAcceptable
from gateway.http.operations import Operation, operation
from gateway.http.schemas import JobResult
from gateway.jobs import views
from gateway.reports import negotiation

blueprint = Blueprint("results", __name__, url_prefix="/v1/jobs/<job_id>")


@blueprint.get("/result")
@operation(
    Operation(
        "Read the result",
        "results",
        {200: JobResult},
        errors=(*NO_JOB, WrongState, NotAcceptable, NoPictures, StoreUnavailable),
        also=tuple(negotiation.FORMATS),
    )
)
def read(job_id: str) -> JobResult | Response:
    """Stage, probabilities, intervals and provenance; 409 while there is none.

    By `Accept` as JSON, FHIR R4 bundle, DICOM SR, SR with overlay (multipart), or one-page PDF.
    """
    media = negotiation.wanted(request.accept_mimetypes)
    record = succeeded(job_id)
    if media != negotiation.JSON:
        return negotiation.render(record, media)
    about = {
        "job_id": record.id,
        "notices": views.notices(record),
        "content_digest": record.text("content_digest"),
        "cache": views.cache(record),
        "superseded_by": record.text("superseded_by") or None,
        "created_at": views.created(record),
        "finished_at": record.time("finished_ms"),
    }
    return JobResult.model_validate((record.result or {}) | about)


def succeeded(job_id: str) -> Job:
    """The caller's job once it has a result; WrongState, with the reason when it failed, before."""
    record = own_job(job_id)
    if record.state is JobState.SUCCEEDED:
        return record
    why = views.problem(record)
    figures = {"state": str(record.state)} | ({"error_code": why.code} if why else {})
    ended = f"The job ended as {record.state} and has no result"
    detail = (
        ended if record.state.is_terminal else f"The job is {record.state}; ask again when it has succeeded"
    )
    raise WrongState(f"{detail}: {why.detail}" if why else detail, **figures)
