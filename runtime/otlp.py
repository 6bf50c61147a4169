"""OpenTelemetry's SDK, set up once a process; imported by runtime/tracing.py only where traces are on."""

from __future__ import annotations

import atexit
import os
import threading
from importlib.metadata import version

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Tracer

_SEND_SECONDS = 3.0
"""How long one try to hand spans over may take, unless OTEL_EXPORTER_OTLP_TIMEOUT says otherwise."""
_LAST_SECONDS = 1.0
"""How long a process that ends waits for it: a receiver that is away delays it by no more."""

_lock = threading.Lock()
_senders: dict[int, BatchSpanProcessor] = {}
_tracers: dict[tuple[int, str], Tracer] = {}


def flush() -> None:
    """Send what this process holds; what a receiver that is away has not taken in time is given up."""
    if sender := _senders.get(os.getpid()):
        sending = threading.Thread(target=sender.force_flush, name="spans", daemon=True)
        sending.start()
        sending.join(_LAST_SECONDS)


def tracer(service: str) -> Tracer:
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
