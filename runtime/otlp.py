"""Spans by OpenTelemetry's SDK; imported by runtime/tracing.py only where traces are on."""

from __future__ import annotations

import atexit
import os
import threading
from importlib.metadata import version

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span as OpenSpan
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from runtime.tracing import NOTHING, Kind, Span, Value

_KINDS = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "consumer": SpanKind.CONSUMER,
}
_SEND_SECONDS = 3.0
"""How long one try to hand spans over may take, unless OTEL_EXPORTER_OTLP_TIMEOUT says otherwise."""
_LAST_SECONDS = 1.0
"""How long a process that ends waits for it: a receiver that is away delays it by no more."""

_propagator = TraceContextTextMapPropagator()
_lock = threading.Lock()
_senders: dict[int, BatchSpanProcessor] = {}
_tracers: dict[tuple[int, str], Tracer] = {}


class _Kept(Span):
    def __init__(self, inner: OpenSpan, service: str) -> None:
        seen = inner.get_span_context()
        self.traceparent = f"00-{seen.trace_id:032x}-{seen.span_id:016x}-{int(seen.trace_flags):02x}"
        self.is_kept = inner.is_recording()
        self._inner = inner
        self._service = service

    def child(
        self, name: str, *, kind: Kind = "internal", service: str = "", at_ms: float | None = None
    ) -> Span:
        if not self.is_kept:
            return NOTHING
        service = service or self._service
        return start(name, service=service, parent=self.traceparent, kind=kind, at_ms=at_ms)

    def note(self, **about: Value) -> None:
        self._inner.set_attributes(about)

    def fail(self, code: str) -> None:
        self._inner.set_status(Status(StatusCode.ERROR, code))

    def end(self, *, at_ms: float | None = None) -> None:
        self._inner.end(None if at_ms is None else int(at_ms * 1e6))


def start(name: str, *, service: str, parent: str, kind: Kind, at_ms: float | None = None) -> Span:
    """A span that began now, or at a time of Unix milliseconds; without a usable `parent`, of a new trace."""
    inner = _tracer(service).start_span(
        name,
        context=_propagator.extract({"traceparent": parent}),
        kind=_KINDS[kind],
        start_time=None if at_ms is None else int(at_ms * 1e6),
    )
    return _Kept(inner, service)


def flush() -> None:
    """Send what this process holds; what a receiver that is away has not taken in time is given up."""
    if sender := _senders.get(os.getpid()):
        sending = threading.Thread(target=sender.force_flush, name="spans", daemon=True)
        sending.start()
        sending.join(_LAST_SECONDS)


def _tracer(service: str) -> Tracer:
    """This process's own, one a service; all of them share one sender."""
    key = (os.getpid(), service)
    found = _tracers.get(key)
    if found is None:
        with _lock:
            found = _tracers.get(key) or _tracers.setdefault(key, _make(service))
    return found


def _make(service: str) -> Tracer:
    about: dict[str, str | int] = {
        "service.name": service,
        "service.namespace": "hippocamp",
        "service.version": version("hippocamp"),
        "process.pid": os.getpid(),
    }
    provider = TracerProvider(resource=Resource.create(about), shutdown_on_exit=False)  # it has no limit
    provider.add_span_processor(_sender())
    return provider.get_tracer("hippocamp", version("hippocamp"))


def _sender() -> BatchSpanProcessor:
    own = _senders.get(os.getpid())
    if own is None:
        seconds = float(os.environ.get("OTEL_EXPORTER_OTLP_TIMEOUT", "") or _SEND_SECONDS)
        own = _senders[os.getpid()] = BatchSpanProcessor(OTLPSpanExporter(timeout=seconds))
        atexit.register(flush)
    return own
