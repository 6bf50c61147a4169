"""The id that ties an answer, its log lines and its job together, and the first span of a job's trace."""

from __future__ import annotations

import re
import uuid
from contextlib import AbstractContextManager
from dataclasses import dataclass

from flask import Flask, Response, g, request
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind

from gateway.access.scopes import needed
from gateway.server.handover import head_only
from runtime import tracing

_TRACEPARENT = re.compile(r"^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$")
_NONE = "0" * 32
_SERVICE = "gateway"


@dataclass(frozen=True)
class Trace:
    """What a job inherits from its request: the id, and the span that all its others hang from."""

    id: str
    span: Span = INVALID_SPAN

    def part(self, name: str) -> AbstractContextManager[Span]:
        """A part of the request, for as long as the block lasts."""
        return tracing.part(self.span, name, service=_SERVICE)

    @property
    def traceparent(self) -> str:
        """What the record carries; "" while no trace is kept."""
        return tracing.traceparent(self.span)


def trace_id() -> str:
    """32 hex digits: the caller's `traceparent` when it sent a valid one, else an id of our own."""
    if "trace_id" not in g:
        g.trace_id = _id_in(request.headers.get("traceparent", "")) or uuid.uuid4().hex
    return str(g.trace_id)


def trace() -> Trace:
    """The present request's."""
    return Trace(trace_id(), g.get("span", INVALID_SPAN))


def trace_requests(app: Flask) -> None:
    """While traces are on, every request that needs a key is a span; its trace id is that of the answer."""
    if not tracing.is_on():
        return
    tracing.check()
    app.before_request(_begin)
    app.after_request(_note)
    app.teardown_request(_end)


def _begin() -> None:
    if request.url_rule is None or needed(request.endpoint or "") is None or head_only():
        return
    name = f"{request.method} {request.url_rule.rule}"
    above = tracing.below(request.headers.get("traceparent", ""))
    g.span = tracing.tracer(_SERVICE).start_span(name, above, SpanKind.SERVER)
    g.trace_id = _id_in(tracing.traceparent(g.span))


def _note(response: Response) -> Response:
    if span := g.get("span"):
        span.set_attributes(
            {
                "http.request.method": request.method,
                "http.route": request.url_rule.rule if request.url_rule else "",
                "http.response.status_code": response.status_code,
            }
        )
        if response.status_code >= 500:
            tracing.fail(span, str(response.status_code))
    return response


def _end(_error: BaseException | None) -> None:
    if span := g.pop("span", None):
        span.end()


def _id_in(text: str) -> str:
    found = _TRACEPARENT.match(text)
    return found[1] if found and found[1] != _NONE else ""
