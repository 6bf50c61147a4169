"""A job's progress as server-sent events, resumable by `Last-Event-ID`."""

from __future__ import annotations

import time
from collections.abc import Iterator

import redis
from flask import Blueprint, Response, request

from contracts.errors import JobNotFound
from gateway.access.auth import own_place
from gateway.http.errors import NO_JOB, StreamsBusy
from gateway.http.links import lasting_linker
from gateway.http.operations import Header, Operation, operation
from gateway.jobs import views
from gateway.jobs.events import LONGEST_SECONDS, RETRY, JobEvent
from gateway.resources import Resources, resources
from gateway.server.handover import FOLLOW, behind_front
from gateway.server.held_answers import Stream

blueprint = Blueprint("events", __name__, url_prefix="/v1/jobs/<job_id>")

_EVERY_SECONDS = 0.5
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
    link = lasting_linker()
    job = views.view(*own_place(job_id), link=link)
    found = Stream(job_id, JobEvent.of(job), request.headers.get("Last-Event-ID", ""), link)
    if found.first.is_last and found.first.id == found.seen:
        return Response(status=204)
    if behind_front():
        request.environ[FOLLOW] = found
    body = iter(()) if behind_front() else _changes(resources(), found)
    response = Response(body, content_type="text/event-stream")
    response.headers["X-Accel-Buffering"] = "no"
    return response


def _changes(to: Resources, stream: Stream) -> Iterator[bytes]:
    """For plain WSGI servers, at the cost of a thread a stream."""
    ends, event, seen = time.monotonic() + LONGEST_SECONDS, stream.first, stream.seen
    yield RETRY
    while True:
        if event.id != seen:
            seen = event.id
            yield event.encoded()
        if event.is_last or time.monotonic() > ends:
            return
        time.sleep(_EVERY_SECONDS)
        try:
            event = stream.render(*to.job_store.look(stream.job_id))
        except (redis.RedisError, JobNotFound):
            return  # the caller reconnects, and is told by status what is the matter
