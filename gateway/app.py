"""The Flask application, `create_app()`; gateway/server serves it, and so can any WSGI server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask, Response, request

from gateway.access import login
from gateway.access.auditing import note_requests
from gateway.access.auth import protect
from gateway.dicomweb import inbox_routes
from gateway.dicomweb import routes as dicomweb
from gateway.http import documents
from gateway.http.problems import handle_errors
from gateway.http.trace import trace_id, trace_requests
from gateway.images import picture_routes, plane_routes
from gateway.jobs import batch_routes, erase_routes, event_routes
from gateway.jobs import routes as jobs
from gateway.monitoring import health_routes, load_routes, model_routes
from gateway.monitoring.metrics import observe_requests
from gateway.pages import routes as pages
from gateway.reports import routes as results
from gateway.resources import open_resources
from gateway.settings import Settings
from gateway.uploads import direct_routes
from gateway.webhooks import routes as webhooks

_CONTROL_BYTES = 1 << 16
"""Largest body of a call that is no upload; uploads raise it for their own request."""
_POLICY = "; ".join((
    "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' blob: data:",
    "connect-src 'self'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'",
))  # fmt: skip

_ALWAYS = (
    ("Content-Security-Policy", _POLICY), ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),
)  # fmt: skip
_UNLESS_STATIC = (*_ALWAYS, ("Cache-Control", "no-store"))
_CONDITIONS = frozenset({
    "HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH", "HTTP_IF_MODIFIED_SINCE", "HTTP_IF_UNMODIFIED_SINCE",
    "HTTP_IF_RANGE",
})  # fmt: skip
"""What a request has to say for its answer to depend on the ETag."""


class Gateway(Flask):
    """No view and no hook is a coroutine, which Flask would ask each of them at every request."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """As it is."""
        return func


def create_app(settings: Settings | None = None) -> Flask:
    """Put the parts together; refuses to start on settings that make no sense, connects to nothing."""
    app = Gateway(__name__, template_folder="pages/templates", static_folder="pages/static")
    app.config["MAX_CONTENT_LENGTH"] = _CONTROL_BYTES
    app.json.sort_keys = False  # type: ignore[attr-defined]
    open_resources(app, settings or Settings())
    handle_errors(app)
    observe_requests(app)
    trace_requests(app)
    protect(app)
    for module in (
        jobs,
        direct_routes,
        batch_routes,
        dicomweb,
        inbox_routes,
        results,
        event_routes,
        picture_routes,
        plane_routes,
        load_routes,
        webhooks,
        health_routes,
        documents,
        pages,
        login,
        model_routes,
        erase_routes,
    ):
        app.register_blueprint(module.blueprint)
    app.after_request(_finish)
    note_requests(app)
    return app


def _finish(response: Response) -> Response:
    """Headers of every answer; no cache stores health data, though an ETag can revalidate it."""
    told = {name.lower() for name, _ in response.headers}
    static = request.endpoint == "static"
    for name, value in _ALWAYS if static else _UNLESS_STATIC:
        if name.lower() not in told:
            response.headers.add(name, value)
    response.headers["X-Trace-Id"] = trace_id()
    whole = response.status_code == 200 and not response.is_streamed
    if whole and not static and request.method == "GET":
        response.add_etag()
        if not _CONDITIONS.isdisjoint(request.environ):
            response.make_conditional(request)
    return response
