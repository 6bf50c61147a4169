"""One trace a job, from upload to webhook (W3C Trace Context), sent by OTLP; off unless told where to.

    POST /v1/jobs ─┬─ store upload ─ record
                   ├─ preprocess wait ── preprocess ── (its steps)
                   ├─ infer wait ─────── infer ── model request ── model server
                   └─ deliver wait ───── deliver

The record carries the `traceparent` of the first span, and every later one hangs from it. OpenTelemetry is
imported, and its sender started, by the first span of a process: after any fork, and never while it is off.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Literal, Self

from contracts.job import Claim
from runtime.settings import SettingError

Kind = Literal["internal", "server", "client", "consumer"]
Value = str | int | float | bool
_ADDRESSES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""OpenTelemetry's own variables; its others (sampler, headers, batch delay) are honoured too."""


class Span:
    """A stretch of time in a trace, closed by `end` or by leaving its block; this one keeps nothing."""

    traceparent = ""
    is_kept = False

    def child(
        self, name: str, *, kind: Kind = "internal", service: str = "", at_ms: float | None = None
    ) -> Span:
        """A part of it that began now, or at a time of Unix milliseconds; in another service when named."""
        del name, kind, service, at_ms
        return self

    def note(self, **about: Value) -> None:
        """Add what is known about it."""

    def fail(self, code: str) -> None:
        """Mark it as failed."""

    def end(self, *, at_ms: float | None = None) -> None:
        """Close it, now or at a time of Unix milliseconds."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _where: object) -> None:
        if error is not None:
            self.fail(type(error).__name__)
        self.end()


NOTHING = Span()
"""What is kept while traces are off."""


def is_on() -> bool:
    """Whether an address for traces is set."""
    return any(os.environ.get(name) for name in _ADDRESSES)


def check() -> None:
    """SettingError when traces are wanted and OpenTelemetry is not installed."""
    if is_on() and find_spec("opentelemetry") is None:
        raise SettingError(f"{' or '.join(_ADDRESSES)} is set: install 'hippocamp[tracing]', or unset it")


def start(name: str, *, service: str, parent: str = "", kind: Kind = "internal") -> Span:
    """A span that begins now, below a `traceparent`; without one it begins a trace."""
    if not is_on():
        return NOTHING
    from runtime import otlp

    return otlp.start(name, service=service, parent=parent, kind=kind)


def work(claim: Claim) -> Span:
    """The span of the work on a claim, and before it that of its wait in the queue; the caller ends it."""
    record, stage = claim.record, str(claim.stage)
    parent = record.get("traceparent", "")
    if not parent or not is_on():
        return NOTHING
    from runtime import otlp

    since, until = float(record.get("queued_ms") or record["created_ms"]), float(record["claimed_ms"])
    waited = otlp.start(f"{stage} wait", service=stage, parent=parent, kind="internal", at_ms=since)
    found = otlp.start(stage, service=stage, parent=parent, kind="consumer")
    for each in (waited, found):
        each.note(**{f"hippocamp.{name}": value for name, value in claim.context.items()})
    waited.end(at_ms=until)
    return found


def flush() -> None:
    """Send what this process still holds; returns within seconds whether anybody takes it or not."""
    if is_on():
        from runtime import otlp

        otlp.flush()
