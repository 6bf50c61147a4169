"""The spans of one batch: every job has a trace of its own, and all of them show the request they share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from opentelemetry.trace import Span, SpanKind, set_span_in_context

from contracts.job import Claim
from contracts.states import Stage
from runtime import tracing
from workers.inference.prediction import ModelAnswer


@dataclass(frozen=True)
class RequestSpans:
    """One request to a model server, shown in the trace of every job that is kept."""

    spans: Sequence[Span]

    @property
    def traceparent(self) -> str:
        """What the server's own span hangs from, "" while nothing is kept."""
        return tracing.traceparent(self.spans[0]) if self.spans else ""

    def show_server(self, answer: ModelAnswer) -> None:
        """The handler's part, by its own clock: it came with the answer, so it needs no sender of its own."""
        if not answer.started:
            return
        begins, ends = answer.started * 1000, (answer.started + answer.seconds) * 1000
        about = {"engine": answer.engine, "model": answer.digest[:12], "traceparent": answer.traceparent}
        start = tracing.tracer("model_server").start_span
        for span in self.spans:
            where, at = set_span_in_context(span), tracing.nanoseconds(begins)
            start("handle", where, SpanKind.SERVER, about, start_time=at).end(tracing.nanoseconds(ends))


class BatchSpans:
    """From the claims of a batch to their ends; costs nothing while traces are off."""

    def __init__(self, claims: Sequence[Claim]) -> None:
        self._work = {claim.id: tracing.work(claim) for claim in claims}
        self._kept = [span for span in self._work.values() if span.is_recording()]

    @contextmanager
    def request(self, volumes: int) -> Iterator[RequestSpans]:
        """Around one request; a bisected batch shows as several."""
        spans = [
            tracing.begin_part(one, "model request", service=Stage.INFER, kind=SpanKind.CLIENT)
            for one in self._kept
        ]
        try:
            yield RequestSpans(spans)
        except Exception as error:
            for span in spans:
                tracing.fail(span, type(error).__name__)
            raise
        finally:
            for span in spans:
                span.set_attribute("volumes", volumes)
                span.end()

    def failed(self, claim: Claim, code: str) -> None:
        """Mark the work on one job as failed."""
        tracing.fail(self._work[claim.id], code)

    def end(self) -> None:
        """The batch is through."""
        for span in self._work.values():
            span.end()
