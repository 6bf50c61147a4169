"""What the gateway notes in the audit log: who submitted, read, changed or erased what, or was refused."""

from __future__ import annotations

import logging
from typing import cast

from flask import Flask, Response, current_app, g, request

from contracts.errors import StoreUnavailable
from gateway.access.scopes import needed
from gateway.http.problems import answer
from gateway.http.trace import trace_id
from gateway.resources import resources
from runtime.audit import AuditLog, Event

_QUIET = frozenset({
    "events.stream", "inbox.index", "inbox.jobs", "jobs.index", "jobs.read", "pages.home", "pages.job",
})  # fmt: skip
"""Routes that tell states, no health data, and are asked several times a second."""

_KEY = "hippocamp.audit"
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_log = logging.getLogger("hippocamp.gateway")


def note_requests(app: Flask) -> None:
    """Write a line after every request that shows or changes something of a site, and every refused one."""
    with app.app_context():
        settings = resources().settings
        app.extensions[_KEY] = AuditLog(settings.audit_file, most_bytes=settings.audit_bytes)
    app.before_request(_ask)
    app.after_request(_note)


def audit_log() -> AuditLog:
    """The application's log."""
    return cast("AuditLog", current_app.extensions[_KEY])


def _ask() -> None:
    """Nothing is accepted or changed while the log could not tell of it (StoreUnavailable)."""
    if request.method not in _READING and request.endpoint and needed(request.endpoint) is not None:
        audit_log().probe()


def _note(response: Response) -> Response:
    """The entry is on disk before the answer leaves; when it cannot be, nothing is shown: the answer is 503.

    Unless something was done: then 503 would make the caller do it twice. It is told in the service's log.
    """
    endpoint = request.endpoint or ""
    refused = response.status_code in {401, 403, 429}
    if not endpoint or needed(endpoint) is None or (endpoint in _QUIET and not refused):
        return response
    caller = g.get("principal")
    event = Event(
        who=caller.who if caller else "",
        what=endpoint,
        site=caller.site if caller else "",
        job=_job(response),
        where=request.remote_addr or "",
        outcome=response.status_code,
        trace=trace_id(),
    )
    try:
        audit_log().append(event)
    except StoreUnavailable as error:
        if request.method in _READING or response.status_code >= 400:
            return answer(error)
        _log.error("audit.not_written", extra={**vars(event), "detail": error.detail})
    return response


def _job(response: Response) -> str:
    """The id in the address, or that of the job just made; an id only, whatever else was written there."""
    named = str((request.view_args or {}).get("job_id", ""))
    made = (
        response.headers.get("Location", "").rpartition("/")[2] if request.endpoint == "jobs.submit" else ""
    )
    found = named or made
    return found if found.startswith("job_") and found[4:].isalnum() and len(found) < 48 else ""
