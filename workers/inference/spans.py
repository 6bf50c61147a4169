"""The spans of one batch: every job has a trace of its own, and all of them show the request they share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from contracts.job import Claim
from runtime import tracing
from runtime.tracing import Span
from workers.inference.model_server import Answer
from workers.inference.scoring import Predict, Stack

Ask = Callable[[Sequence[Stack], str], list[Answer]]


class BatchSpans:
    """From the claims of a batch to their ends; costs nothing while traces are off."""

    def __init__(self, claims: Sequence[Claim]) -> None:
        self._work = {claim.id: tracing.work(claim) for claim in claims}
        self._kept = [span for span in self._work.values() if span.is_kept]

    def around(self, ask: Ask[Stack]) -> Predict[Stack]:
        """`ask` as `score` calls it; each request shows in every trace, a bisected batch as several."""
        return lambda stacks: self._watched(ask, stacks)

    def _watched(self, ask: Ask[Stack], stacks: Sequence[Stack]) -> list[Answer]:
        spans = [one.child("model request", kind="client") for one in self._kept]
        try:
            answers = ask(stacks, spans[0].traceparent if spans else "")
        except Exception as error:
            for span in spans:
                span.fail(type(error).__name__)
            raise
        else:
            for span in spans:
                _show_server(span, answers[0])
            return answers
        finally:
            for span in spans:
                span.note(volumes=len(stacks))
                span.end()

    def failed(self, claim: Claim, code: str) -> None:
        """Mark the work on one job as failed."""
        self._work[claim.id].fail(code)

    def end(self) -> None:
        """The batch is through."""
        for span in self._work.values():
            span.end()


def _show_server(request: Span, answer: Answer) -> None:
    """The handler's part, by its own clock: TorchServe told it to us, so it needs no sender of its own."""
    if not answer.started:
        return
    handled = request.child("handle", service="model_server", kind="server", at_ms=answer.started * 1000)
    handled.note(engine=answer.engine, model=answer.digest[:12], told=answer.traceparent)
    handled.end(at_ms=(answer.started + answer.seconds) * 1000)
