"""The spans of one batch: every job has a trace of its own, and all of them show the request they share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from contracts.job import Claim
from runtime import tracing
from runtime.tracing import Span
from workers.inference.prediction import ModelAnswer


@dataclass(frozen=True)
class RequestSpans:
    """One request to a model server, shown in the trace of every job that is kept."""

    spans: Sequence[Span]

    @property
    def traceparent(self) -> str:
        """What the server's own span hangs from, "" while nothing is kept."""
        return self.spans[0].traceparent if self.spans else ""

    def show_server(self, answer: ModelAnswer) -> None:
        """The handler's part, by its own clock: it came with the answer, so it needs no sender of its own."""
        if not answer.started:
            return
        begins, ends = answer.started * 1000, (answer.started + answer.seconds) * 1000
        for span in self.spans:
            handled = span.child("handle", service="model_server", kind="server", at_ms=begins)
            handled.note(engine=answer.engine, model=answer.digest[:12], traceparent=answer.traceparent)
            handled.end(at_ms=ends)


class BatchSpans:
    """From the claims of a batch to their ends; costs nothing while traces are off."""

    def __init__(self, claims: Sequence[Claim]) -> None:
        self._work = {claim.id: tracing.work(claim) for claim in claims}
        self._kept = [span for span in self._work.values() if span.is_kept]

    @contextmanager
    def request(self, volumes: int) -> Iterator[RequestSpans]:
        """Around one request; a bisected batch shows as several."""
        spans = [one.child("model request", kind="client") for one in self._kept]
        try:
            yield RequestSpans(spans)
        except Exception as error:
            for span in spans:
                span.fail(type(error).__name__)
            raise
        finally:
            for span in spans:
                span.note(volumes=volumes)
                span.end()

    def failed(self, claim: Claim, code: str) -> None:
        """Mark the work on one job as failed."""
        self._work[claim.id].fail(code)

    def end(self) -> None:
        """The batch is through."""
        for span in self._work.values():
            span.end()
