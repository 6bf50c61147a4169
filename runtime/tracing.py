"""One trace a job, from upload to webhook (W3C Trace Context), sent by OTLP; off unless told where to.

    POST /v1/jobs ─┬─ store upload ─ record
                   ├─ preprocess wait ── preprocess ── (its steps)
                   ├─ infer wait ─────── infer ── model request ── model server
                   └─ deliver wait ───── deliver

The record carries the `traceparent` of the first span, and every later one hangs from it. OpenTelemetry's SDK
is imported, and its sender started, by the first span of a process: after any fork, never while it is off.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from opentelemetry.context import Context
from opentelemetry.trace import (
    INVALID_SPAN,
    NoOpTracer,
    Span,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from contracts.job import Claim
from runtime.settings import SettingError

_ADDRESSES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""OpenTelemetry's own variables; its others (sampler, headers, batch delay) are honoured too."""
_FIELD = "traceparent"

_propagator = TraceContextTextMapPropagator()
_nothing = NoOpTracer()


def is_on() -> bool:
    """Whether an address for traces is set."""
    return any(os.environ.get(name) for name in _ADDRESSES)


def check() -> None:
    """SettingError when traces are wanted and OpenTelemetry's SDK is not installed."""
    if is_on() and find_spec("opentelemetry.sdk") is None:
        raise SettingError(
            f"{' or '.join(_ADDRESSES)} is set: install the optional dependencies `tracing`, or unset it"
        )


def tracer(service: str) -> Tracer:
    """What starts spans of a service; it records nothing while traces are off."""
    if not is_on():
        return _nothing
    from runtime import otlp

    return otlp.tracer(service)


def below(traceparent: str) -> Context:
    """Where a span begins that hangs from a `traceparent`; without a usable one it begins a trace."""
    return _propagator.extract({_FIELD: traceparent}, Context())


def traceparent(span: Span) -> str:
    """What a record or a header carries of a span; "" of none."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier, set_span_in_context(span))
    return carrier.get(_FIELD, "")


def work(claim: Claim) -> Span:
    """The span of the work on a claim, and before it that of its wait in the queue; the caller ends it."""
    record, stage = claim.record, str(claim.stage)
    parent = record.get(_FIELD, "")
    if not parent or not is_on():
        return INVALID_SPAN
    about = {f"hippocamp.{name}": value for name, value in claim.context.items()}
    since, until = float(record.get("queued_ms") or record["created_ms"]), float(record["claimed_ms"])
    start, where = tracer(stage).start_span, below(parent)
    start(f"{stage} wait", where, attributes=about, start_time=nanoseconds(since)).end(nanoseconds(until))
    return start(stage, where, SpanKind.CONSUMER, about)


@contextmanager
def part(around: Span, name: str, *, service: str, kind: SpanKind = SpanKind.INTERNAL) -> Iterator[Span]:
    """A part of a span, for as long as the block lasts; none of a span that is not kept.

    An error is noted by its class alone: its text may hold what identifies a person.
    """
    span = begin_part(around, name, service=service, kind=kind)
    try:
        yield span
    except BaseException as error:
        fail(span, type(error).__name__)
        raise
    finally:
        span.end()


def begin_part(around: Span, name: str, *, service: str, kind: SpanKind = SpanKind.INTERNAL) -> Span:
    """As `part`; the caller ends it."""
    if not around.is_recording():
        return INVALID_SPAN
    return tracer(service).start_span(name, set_span_in_context(around), kind)


def fail(span: Span, code: str) -> None:
    """Mark a span as failed."""
    span.set_status(Status(StatusCode.ERROR, code))


def nanoseconds(milliseconds: float) -> int:
    """OpenTelemetry's unit of Unix time."""
    return int(milliseconds * 1e6)


def flush() -> None:
    """Send what this process still holds; returns within seconds whether anybody takes it or not."""
    if is_on():
        from runtime import otlp

        otlp.flush()
