"""Problems that are answered without Flask: of requests that never reach it, or find no thread for it."""

from __future__ import annotations

import uuid
from http import HTTPStatus

from contracts.errors import HippocampError
from gateway.http.problems import MEDIA_TYPE, RETRY_SECONDS, describe
from gateway.monitoring.metrics import count_refusal

Headers = list[tuple[bytes, bytes]]
_ALWAYS: Headers = [
    (b"content-type", MEDIA_TYPE.encode()),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
]


def problem_answer(error: HippocampError) -> tuple[int, Headers, bytes]:
    """Status, headers and body of an error; counted as refused."""
    count_refusal(error.code)
    trace = uuid.uuid4().hex
    body = describe(type(error), error.detail, error.figures, trace=trace).model_dump_json().encode()
    headers = [*_ALWAYS, (b"x-trace-id", trace.encode()), (b"content-length", str(len(body)).encode())]
    if error.retryable:
        seconds = error.figures.get("retry_after_seconds", RETRY_SECONDS)
        headers.append((b"retry-after", str(seconds).encode()))
    return error.status, headers, body


def problem_bytes(kind: type[HippocampError]) -> bytes:
    """The whole answer, for a connection that ends with it; it says only what the error's class says."""
    status, headers, body = problem_answer(kind((kind.__doc__ or kind.title).split("\n")[0]))
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode()]
    lines += [name + b": " + value for name, value in [*headers, (b"connection", b"close")]]
    return b"\r\n".join([*lines, b"", body])
