"""What inference and webhook delivery count; nothing here names a job, a site or a receiver."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from contracts.job import Claim

_INFER_SECONDS = Histogram(
    "hippocamp_infer_seconds",
    "Wall seconds from claim to commit of one batch",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60),
)
_BATCH = Histogram(
    "hippocamp_infer_batch_volumes", "Volumes claimed together", buckets=(1, 2, 3, 4, 6, 8, 16, 32)
)
_MODEL_SECONDS = Histogram(
    "hippocamp_model_server_seconds",
    "Wall seconds of one request to the model server",
    ["outcome"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60),
)
_FAILURES = Counter("hippocamp_infer_failures_total", "Attempts that did not commit", ["code", "outcome"])
_WAIT = Histogram(
    "hippocamp_infer_wait_seconds",
    "Seconds a prepared volume waited for its first claim",
    buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 600, 3600),
)
_PREDICTIONS = Counter("hippocamp_predictions_total", "Answers by their most probable stage", ["cdr"])
_DISTANCE = Histogram(
    "hippocamp_out_of_distribution",
    "Distance of answered volumes from the training data; above 1 is unusual",
    buckets=(0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 3, 5),
)
_BREAKER = Counter("hippocamp_breaker_openings_total", "Times a process stopped asking the model server")
_OPEN = Gauge(
    "hippocamp_breakers_open", "Breakers open now, one a process and replica", multiprocess_mode="livesum"
)
_DELIVERIES = Counter("hippocamp_deliveries_total", "Webhook attempts", ["outcome"])
_DELIVERY_SECONDS = Histogram(
    "hippocamp_delivery_seconds",
    "Wall seconds of one webhook attempt",
    buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 10),
)


def record_batch(seconds: float, volumes: int) -> None:
    """One claimed batch is through, whatever became of its volumes."""
    _INFER_SECONDS.observe(seconds)
    _BATCH.observe(volumes)


def record_wait(claim: Claim) -> None:
    """How long a volume waited for inference; later attempts would count the earlier ones as waiting."""
    seconds = claim.job.seconds("finished_preprocess_ms", "claimed_ms")
    if claim.attempt == 1 and seconds is not None:
        _WAIT.observe(seconds)


def record_answer(cdr: str, distance: float) -> None:
    """One volume answered: a drift of either figure asks for a look at what is being sent."""
    _PREDICTIONS.labels(cdr).inc()
    _DISTANCE.observe(distance)


def record_breaker() -> None:
    """A breaker of this process opened."""
    _BREAKER.inc()
    _OPEN.inc()


def record_breaker_closed() -> None:
    """It closed again."""
    _OPEN.dec()


def record_request(seconds: float, outcome: str) -> None:
    """One request to the model server: "answered", "refused" or "away"."""
    _MODEL_SECONDS.labels(outcome).observe(seconds)


def record_failure(code: str, outcome: str) -> None:
    """One attempt ended by an error: its code, and whether the job failed, waits or was lost."""
    _FAILURES.labels(code, outcome).inc()


def record_delivery(seconds: float, outcome: str) -> None:
    """One webhook attempt: "delivered", "retried", "failed", "deferred" or "disabled"."""
    _DELIVERIES.labels(outcome).inc()
    _DELIVERY_SECONDS.observe(seconds)
