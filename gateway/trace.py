"""The id that ties an answer, its log lines and its job together (W3C Trace Context)."""

from __future__ import annotations

import re
import uuid

from flask import g, request

_TRACEPARENT = re.compile(r"^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$")
_NONE = "0" * 32


def trace_id() -> str:
    """32 hex digits: the caller's `traceparent` when it sent a valid one, else an id of our own."""
    if "trace_id" not in g:
        sent = _TRACEPARENT.match(request.headers.get("traceparent", ""))
        g.trace_id = sent[1] if sent and sent[1] != _NONE else uuid.uuid4().hex
    return str(g.trace_id)
