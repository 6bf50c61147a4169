"""Tasks of infer workers: whether the model servers work, and which models they serve."""

from __future__ import annotations

import logging
import time
from contextlib import suppress

from contracts.errors import ModelNotServed, ModelServerUnavailable, ModelUnknown
from jobstore import deployed
from workers.context import WorkerContext
from workers.inference.canary import canary_request
from workers.inference.model_server import BatchRefused
from workers.inference.prediction import ModelAnswer

_log = logging.getLogger("hippocamp.infer")

CANARY_TASK, LIVENESS_TASK = "infer.canary", "infer.liveness"


def check_liveness(context: WorkerContext) -> bool:
    """Whether the model server gives a sign of life; one that does so again runs the canary inference."""
    try:
        context.model.check_alive()
    except ModelServerUnavailable as error:
        deployed.record_failure(context.redis, "model_server", str(error))
        _log.warning("liveness.failed", extra={"detail": str(error)})
        return False
    if deployed.failure(context.redis, "model_server"):
        return run_canary(context)
    return True


def run_canary(context: WorkerContext) -> bool:
    """Ask every replica for the canary inference; whether one passed."""
    started = time.monotonic()
    try:
        digest = _ask_model_in_service(context)
        _ask_other_models(context, but=digest)
    except (ModelServerUnavailable, BatchRefused) as error:
        deployed.record_failure(context.redis, "model_server", str(error))
        _log.warning("canary.failed", extra={"error": type(error).__name__, "detail": str(error)})
        return False
    # At once, because `Heartbeats` does not repeat what it sent a moment ago.
    deployed.record_heartbeat(context.redis, "model_server")
    _log.info("canary.passed", extra={"seconds": round(time.monotonic() - started, 3)})
    return True


def _ask_model_in_service(context: WorkerContext) -> str:
    """Its digest, once the gateway can read it."""
    try:
        answer = context.model.predict_on_all(canary_request())
    except ModelUnknown as error:
        deployed.refuse(context.redis, str(error.figures["digest"]))
        raise
    _publish_card(context, answer)
    context.report_model(answer.digest)
    return answer.digest


def _ask_other_models(context: WorkerContext, *, but: str) -> None:
    """Known models that are served beside it are asked too, so that jobs can name them."""
    for digest in sorted(context.settings.known_models - {but}):
        with suppress(ModelNotServed, ModelServerUnavailable, BatchRefused):
            _publish_card(context, context.model.predict(canary_request(digest))[0])
    deployed.record_heartbeat(context.redis, "other_models", ttl_seconds=60)


def _publish_card(context: WorkerContext, answer: ModelAnswer) -> None:
    if answer.card:
        deployed.describe(context.redis, answer.digest, answer.card)
