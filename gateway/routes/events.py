"""A job's progress as server-sent events (WHATWG HTML, section 9.2), resumable by `Last-Event-ID`."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator

import redis
from flask import Blueprint, Response, current_app, request

from contracts.errors import JobNotFound
from contracts.line import Line
from gateway import job_view, patience
from gateway.auth import own_place
from gateway.errors import NO_JOB, StreamsBusy
from gateway.links import Link
from gateway.operations import Header, Operation, operation
from gateway.resources import resources
from gateway.schemas import Job

blueprint = Blueprint("events", __name__, url_prefix="/v1/jobs/<job_id>")

_EVERY_SECONDS = 0.5
_HEARTBEAT_SECONDS = 15.0
_LONGEST_SECONDS = 600.0
_SPEC = Operation(
    "Follow a job",
    "jobs",
    {200: "text/event-stream", 204: None},
    errors=(*NO_JOB, StreamsBusy),
    headers={"Last-Event-ID": Header("the last event seen; it is not sent again")},
)


@blueprint.get("/events")
@operation(_SPEC)
def stream(job_id: str) -> Response:
    """One event `job` a change, with the job as data; ends with the job, 204 once there is nothing more."""
    line = resources().line
    seen = request.headers.get("Last-Event-ID", "")
    first = job_view.view(*own_place(job_id))
    if first.state.is_terminal and _told(first)[0] == seen:
        return Response(status=204)
    changes = _changes(line, first, seen, link=_linker())
    if not patience.take_place():
        raise StreamsBusy("Too many callers follow jobs; poll the job instead, or come back in a while")
    response = Response(changes, content_type="text/event-stream")
    response.headers["X-Accel-Buffering"] = "no"
    response.call_on_close(patience.leave_place)
    return response


def _linker() -> Link:
    """`url_for` for the time when this request is over and only its answer still flows."""
    adapter = current_app.create_url_adapter(request)
    assert adapter is not None  # noqa: S101  only None without a request
    return lambda endpoint, **values: adapter.build(endpoint, values)


def _changes(line: Line, job: Job, seen: str, *, link: Link) -> Iterator[str]:
    started = spoke = time.monotonic()
    yield "retry: 2000\n\n"
    while True:
        name, text = _told(job)
        if name != seen:
            seen, spoke = name, time.monotonic()
            yield f"id: {seen}\nevent: job\ndata: {text}\n\n"
        elif time.monotonic() - spoke > _HEARTBEAT_SECONDS:
            spoke = time.monotonic()
            yield ": still here\n\n"
        if job.state.is_terminal or time.monotonic() - started > _LONGEST_SECONDS:
            return
        time.sleep(_EVERY_SECONDS)
        try:
            job = job_view.view(*line.look(job.id), link=link)
        except (redis.RedisError, JobNotFound):
            return  # the caller reconnects, and is told by status what is the matter


def _told(job: Job) -> tuple[str, str]:
    """(an id that changes with what is worth telling, all of it); the ETA alone is not worth it."""
    text = job.model_dump_json()
    lasting = text
    if job.eta_seconds is not None:
        lasting = job.model_copy(update={"eta_seconds": None}).model_dump_json()
    return hashlib.sha256(lasting.encode()).hexdigest()[:16], text
