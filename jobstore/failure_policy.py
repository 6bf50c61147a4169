"""What becomes of a claim whose work raised: failed for good, tried again, or no longer ours."""

from __future__ import annotations

import logging
from enum import StrEnum

import redis

from contracts.errors import DeadLettered, HippocampError, Misconfigured, ResourcesExhausted, Unavailable
from contracts.job import Claim
from contracts.states import MOST_ATTEMPTS
from jobstore.store import JobStore, LeaseLost
from runtime.redis_failures import about, failure_of

_log = logging.getLogger("hippocamp.failure_policy")

AWAY_SECONDS = 5.0
"""Pause before a job meets a dependency again that was away; such a try uses up no attempt."""


class Outcome(StrEnum):
    """How a claim ended; LEFT: the job store is away, so its lease runs out and the reaper requeues it."""

    FAILED = "failed"
    RETRIED = "retried"
    LOST = "lost"
    LEFT = "left"


def handle_failure(job_store: JobStore, claim: Claim, error: Exception) -> Outcome:
    """Write the error's consequence to the job store.

    1. A dependency was away, or is not configured for us: try again later, uncounted, so an outage never
       fails a job.
    2. An error that may pass, and attempts are left: try again after 1, 2, 4 ... seconds, counted.
    3. The job's own fault, or its last attempt: failed with the error's code (`poison` if unknown).
    """
    try:
        if isinstance(error, LeaseLost):
            raise error
        return _handle(job_store, claim, error)
    except LeaseLost:
        _log.info("claim.lost", extra=claim.context)
        return Outcome.LOST
    except redis.RedisError as refusal:
        _log.warning("claim.left", extra={**claim.context, **about(refusal)})
        return Outcome.LEFT


def code_of(error: Exception) -> str:
    """The code of a known error, the class name of any other."""
    if isinstance(error, HippocampError):
        return error.code
    failure = failure_of(error)
    return type(error).__name__ if type(failure) is HippocampError else failure.code


def _handle(job_store: JobStore, claim: Claim, error: Exception) -> Outcome:
    note = code_of(error)
    details = {**claim.context, **about(error), "code": note}
    if _is_outage(error):
        job_store.release(claim, note, delay_seconds=AWAY_SECONDS, counts=False)
        _log.warning("job.waits_for_dependency", extra=details)
        return Outcome.RETRIED
    may_pass = True
    if isinstance(error, HippocampError):
        may_pass = error.retryable
    else:
        _log.error("job.attempt_broke", extra=details, exc_info=error)
        error = DeadLettered(f"The last of {claim.attempt} attempts at {claim.stage} ended in {note}")
    if may_pass and claim.attempt < MOST_ATTEMPTS[claim.stage]:
        job_store.release(claim, note, delay_seconds=2.0 ** (claim.attempt - 1))
        _log.warning("job.retried", extra=details)
        return Outcome.RETRIED
    job_store.fail(claim, error)
    _log.info("job.failed", extra={**claim.context, "code": note})
    return Outcome.FAILED


def _is_outage(error: Exception) -> bool:
    """Whether no job could have done better; a job may itself be what exhausts the machine."""
    failure = failure_of(error)
    return isinstance(failure, (Unavailable, Misconfigured)) and not isinstance(failure, ResourcesExhausted)
