"""A receiver of traces: OTLP over HTTP, decoded with OpenTelemetry's own protobuf classes."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from tests.support.servers import QuietHandler, ThreadedServer
from tests.support.waiting import MOST_WAIT_SECONDS


@dataclass(frozen=True)
class Seen:
    """One span as it arrived; times in seconds of Unix time."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    started: float
    ended: float
    failed: bool
    about: dict[str, str | int | float | bool | None]


@dataclass
class Collector(ThreadedServer):
    """Takes POST /v1/traces on a free loopback port."""

    spans: list[Seen] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        outer = self

        class Handler(QuietHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.body()
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                outer.take(self.path, body)
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

        self.listen(Handler)

    def take(self, path: str, body: bytes) -> None:
        """Keep the spans of one export."""
        assert path == "/v1/traces", path
        self.bodies.append(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            of = {pair.key: _value(pair.value) for pair in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.spans.append(
                        Seen(
                            service=str(of["service.name"]),
                            name=span.name,
                            trace_id=span.trace_id.hex(),
                            span_id=span.span_id.hex(),
                            parent_id=span.parent_span_id.hex(),
                            started=span.start_time_unix_nano / 1e9,
                            ended=span.end_time_unix_nano / 1e9,
                            failed=span.status.code == 2,
                            about={pair.key: _value(pair.value) for pair in span.attributes},
                        )
                    )

    def trace(
        self, trace_id: str, *, until: Callable[[list[Seen]], object], within: float = MOST_WAIT_SECONDS
    ) -> list[Seen]:
        """The spans of one trace by their start, once they satisfy `until`."""
        ends = time.monotonic() + within
        while True:
            found = sorted((s for s in self.spans if s.trace_id == trace_id), key=lambda s: s.started)
            if until(found):
                return found
            assert time.monotonic() < ends, f"after {within} s there are {[s.name for s in found]}"
            time.sleep(0.05)


def _value(given: AnyValue) -> str | int | float | bool | None:
    kind = given.WhichOneof("value")
    return getattr(given, kind) if kind else None
