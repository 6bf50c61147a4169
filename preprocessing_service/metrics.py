"""What the preprocessing consumer counts; nothing here names a job, a site or a file."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

from contracts.job import Claim

_SECONDS = Histogram(
    "hippocamp_preprocess_seconds",
    "Wall seconds from claim to commit of one volume",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120),
)
_STEP_SECONDS = Histogram(
    "hippocamp_preprocess_step_seconds",
    "Wall seconds of one step of the pipeline",
    ["step"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5),
)
_WAIT = Histogram(
    "hippocamp_preprocess_wait_seconds",
    "Seconds an upload waited for its first claim",
    buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 600, 3600),
)
_REUSED = Counter("hippocamp_preprocess_reused_total", "Volumes whose stack was already in the store")
_ESCALATED = Counter(
    "hippocamp_preprocess_second_extraction_total",
    "Volumes whose brain the second network had to find, because the first one's did not fit",
)
_FAILURES = Counter(
    "hippocamp_preprocess_failures_total", "Attempts that did not commit", ["code", "outcome"]
)


def record_wait(claim: Claim) -> None:
    """How long an upload waited; later attempts would count the earlier ones as waiting."""
    seconds = claim.job.seconds("created_ms", "claimed_ms")
    if claim.attempt == 1 and seconds is not None:
        _WAIT.observe(seconds)


def record_prepared(seconds: float, steps: dict[str, float], *, reused: bool) -> None:
    """One volume committed; `steps` are the seconds of its pipeline steps."""
    _SECONDS.observe(seconds)
    if reused:
        _REUSED.inc()
        return
    for step, spent in steps.items():
        _STEP_SECONDS.labels(step).observe(spent)


def record_escalation() -> None:
    """The second network found this volume's brain: rare, unless a scanner or a protocol is new."""
    _ESCALATED.inc()


def record_failure(code: str, outcome: str) -> None:
    """One attempt ended by an error: its code, and whether the job failed, waits or was lost."""
    _FAILURES.labels(code, outcome).inc()
