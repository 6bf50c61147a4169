"""Scoring the jobs of one batch: one bad volume fails alone, and a sick server fails none."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from contracts.covariates import Covariates
from contracts.errors import ModelNotServed, ModelRefused, ModelServerUnavailable
from contracts.job import Claim
from contracts.stack import Stack
from runtime.blobs import BlobStore
from workers.inference.canary import canary_request
from workers.inference.model_server import BatchRefused, StackUnreadable
from workers.inference.prediction import ModelAnswer, PredictRequest, VolumeInput
from workers.inference.replicas import Replicas
from workers.inference.spans import BatchSpans

_log = logging.getLogger("hippocamp.infer")

Score = ModelAnswer | Exception
"""What became of one volume."""


class StackMissing(Exception):  # noqa: N818  named for what happened, as in contracts.errors
    """A prepared stack is gone or damaged; `reason` is what was met."""

    def __init__(self, reason: Exception) -> None:
        super().__init__(str(reason))
        self.reason = reason


@dataclass
class BatchScorer:
    """Turns claimed jobs into one request a model version, and its answers into one score a job.

    reads_blobs: the model server reads stacks itself, so that their bytes need not pass through us.
    wait_seconds: how long it may take to come back when it has refused a batch.
    """

    model: Replicas
    blobs: BlobStore
    reads_blobs: bool = False
    wait_seconds: float = 20.0

    def score(self, claims: Sequence[Claim], spans: BatchSpans) -> dict[str, Score]:
        """Job id -> its answer, or why it has none: StackMissing, ModelRefused, an error of the server."""
        if self.reads_blobs:
            try:
                return self._score_inputs(claims, _named, spans)
            except StackUnreadable as error:
                _log.warning("stack.not_read", extra={"detail": str(error)})
        return self._score_inputs(claims, self._loaded, spans)

    def score_request(self, request: PredictRequest, spans: BatchSpans) -> list[Score]:
        """One score a volume, in order.

        1. All volumes go out in one request; usually that is all.
        2. A refused request is halved until each guilty volume stands alone.

               [a b C d]  ->  [a b] ok   [C d]  ->  [C] refused   [d] ok

        3. A volume is guilty only if the server passes the canary inference right after it; else the server
           is at fault, and every volume of that request gets ModelServerUnavailable.
        """
        scores: list[Score] = []
        waiting = [request]
        while waiting:
            part = waiting.pop(0)
            try:
                scores += self._send(part, spans)
            except (ModelServerUnavailable, ModelNotServed) as error:
                scores += [error] * len(part.volumes)
            except BatchRefused as error:
                if not self._passes_canary(part.model_version):
                    away = ModelServerUnavailable(f"Fails the canary inference after: {error}")
                    scores += [away] * len(part.volumes)
                elif len(part.volumes) == 1:
                    scores.append(ModelRefused(str(error)))
                else:
                    waiting[:0] = part.halves()
        return scores

    def _score_inputs(
        self, claims: Sequence[Claim], input_of: Callable[[Claim], VolumeInput], spans: BatchSpans
    ) -> dict[str, Score]:
        """Jobs that want different models do not share a request; one without an input stops no other."""
        scores: dict[str, Score] = {}
        inputs: dict[str, dict[str, VolumeInput]] = defaultdict(dict)
        for claim in claims:
            try:
                inputs[claim.job.text("wanted_model")][claim.id] = input_of(claim)
            except (FileNotFoundError, ValueError) as error:
                scores[claim.id] = StackMissing(error)
            except Exception as error:  # noqa: BLE001  it may be about this job alone
                scores[claim.id] = error
        for version, volumes in sorted(inputs.items()):
            request = PredictRequest(list(volumes.values()), version)
            scores |= zip(volumes, self.score_request(request, spans), strict=True)
        return scores

    def _send(self, request: PredictRequest, spans: BatchSpans) -> list[ModelAnswer]:
        with spans.request(len(request.volumes)) as request_spans:
            answers = self.model.predict(replace(request, traceparent=request_spans.traceparent))
            request_spans.show_server(answers[0])
            return answers

    def _passes_canary(self, version: str) -> bool:
        return self.model.passes_canary(canary_request(version), wait_seconds=self.wait_seconds)

    def _loaded(self, claim: Claim) -> VolumeInput:
        named = _named(claim)
        return replace(named, slices=Stack.from_bytes(self.blobs.get(named.stack_blob)).slices)


def _named(claim: Claim) -> VolumeInput:
    """The job's volume by the name of its slices."""
    job = claim.job
    return VolumeInput(job.text("stack_blob"), Covariates.of(job.text("covariates")).row())
