"""The Flask application; gunicorn starts it as `gateway.app:create_app()`."""

from __future__ import annotations

from flask import Flask, Response, request

from gateway.auditing import note_requests
from gateway.auth import protect
from gateway.metrics import observe_requests
from gateway.problems import handle_errors
from gateway.resources import open_resources
from gateway.routes import (
    batches,
    dicomweb,
    documents,
    erase,
    events,
    health,
    jobs,
    load,
    login,
    models,
    pages,
    pictures,
    planes,
    results,
    uploads,
    webhooks,
)
from gateway.settings import Settings
from gateway.trace import trace_id, trace_requests

_CONTROL_BYTES = 1 << 16
"""Largest body of a call that is no upload; uploads raise it for their own request."""
_POLICY = "; ".join((
    "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' blob: data:",
    "connect-src 'self'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'",
))  # fmt: skip

_CONDITIONS = frozenset({
    "HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH", "HTTP_IF_MODIFIED_SINCE", "HTTP_IF_UNMODIFIED_SINCE",
    "HTTP_IF_RANGE",
})  # fmt: skip
"""What a request has to say for its answer to depend on the ETag."""


def create_app(settings: Settings | None = None) -> Flask:
    """Put the parts together; refuses to start on settings that make no sense, connects to nothing."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = _CONTROL_BYTES
    app.json.sort_keys = False  # type: ignore[attr-defined]
    open_resources(app, settings or Settings())
    handle_errors(app)
    observe_requests(app)
    trace_requests(app)
    protect(app)
    for module in (
        jobs,
        uploads,
        batches,
        dicomweb,
        results,
        events,
        pictures,
        planes,
        load,
        webhooks,
        health,
        documents,
        pages,
        login,
        models,
        erase,
    ):
        app.register_blueprint(module.blueprint)
    app.after_request(_finish)
    note_requests(app)
    return app


def _finish(response: Response) -> Response:
    """Headers of every answer; no cache stores health data, though an ETag can revalidate it."""
    response.headers.setdefault("Content-Security-Policy", _POLICY)
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "same-origin")
    response.headers["X-Trace-Id"] = trace_id()
    if request.endpoint != "static":
        response.headers.setdefault("Cache-Control", "no-store")
        if request.method == "GET" and response.status_code == 200 and not response.is_streamed:
            response.add_etag()
            if not _CONDITIONS.isdisjoint(request.environ):
                response.make_conditional(request)
    return response
