"""Every failure is application/problem+json (RFC 9457) or, for a browser, a page; never a stack trace."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from flask import Flask, Response, render_template, request
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import MethodNotAllowed as WerkzeugMethodNotAllowed

from contracts.errors import (
    BadRequest,
    HippocampError,
    QuotaExceeded,
    RequestError,
    Unavailable,
)
from gateway.http import errors
from gateway.http.schemas import Problem
from gateway.http.trace import trace_id
from gateway.monitoring.metrics import count_refusal
from runtime.redis_failures import about, failure_of, frames_of

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 5
"""What `Retry-After` says with every 503."""

_log = logging.getLogger("hippocamp.gateway")
_HTTP: dict[int, type[RequestError]] = {
    404: errors.NoSuchPage,
    405: errors.MethodNotAllowed,
    413: errors.BodyTooLarge,
    415: errors.UnsupportedMediaType,
}


def all_kinds(root: type[HippocampError] = HippocampError) -> Iterator[type[HippocampError]]:
    """Every error class a caller can meet, parents before children."""
    yield root
    for kind in root.__subclasses__():
        yield from all_kinds(kind)


def kind_of(code: str) -> type[HippocampError]:
    """The class that reports under `code`; HippocampError itself for a code nobody owns any more."""
    return next((kind for kind in all_kinds() if kind.code == code), HippocampError)


def describe(kind: type[HippocampError], detail: str, figures: dict[str, Any], *, trace: str) -> Problem:
    """The problem document of an error; figures become extension members beside the fixed ones."""
    fixed = {
        "type": f"/problems/{kind.code}",
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        "code": kind.code,
        "retryable": kind.retryable,
        "trace_id": trace,
    }
    return Problem.model_validate(figures | fixed)


def answer(error: HippocampError) -> Response:
    """The HTTP answer for an error; one that is no fault of the caller's leaves a line in the log."""
    if error.status >= 500:
        cause = about(error.__cause__)["error"] if error.__cause__ else ""
        told = {"trace_id": trace_id(), "code": error.code, "detail": error.detail, "cause": cause}
        _log.warning("request.not_served", extra=told)
    return _answered(error)


def _answered(error: HippocampError) -> Response:
    problem = describe(type(error), error.detail, error.figures, trace=trace_id())
    response = (
        Response(render_template("problem.html", problem=problem), error.status)
        if _a_person_reads()
        else Response(problem.model_dump_json(), error.status, content_type=MEDIA_TYPE)
    )
    count_refusal(error.code)
    if isinstance(error, (Unavailable, QuotaExceeded)):
        response.headers["Retry-After"] = str(error.figures.get("retry_after_seconds", RETRY_SECONDS))
    return response


def _a_person_reads() -> bool:
    """A browser opened an address outside the API; modules of a page and curl ask for anything."""
    accepted = request.accept_mimetypes.best_match([MEDIA_TYPE, "text/html"])
    return accepted == "text/html" and not request.path.startswith("/v1/")


def _http(error: HTTPException) -> Response:
    status = error.code or 500
    if status < 400 and error.response is None:
        return Response(error.get_body(), status, error.get_headers())
    kind = _HTTP.get(status, BadRequest if status < 500 else HippocampError)
    response = answer(kind(error.description or kind.title, path=request.path))
    if isinstance(error, WerkzeugMethodNotAllowed) and error.valid_methods:
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods))
    return response


def _failed(error: Exception) -> Response:
    """What Redis, the system or a fault of ours raised: its text goes to the log, its kind to the caller."""
    failure = failure_of(error)
    where = [] if isinstance(failure, Unavailable) else frames_of(error)
    _log.error("request.failed", extra={"trace_id": trace_id(), **about(error), "frames": where})
    return _answered(failure)


def handle_errors(app: Flask) -> None:
    """Register the handlers; Flask picks the most specific one."""
    app.register_error_handler(HippocampError, answer)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _failed)
