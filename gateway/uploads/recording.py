"""The durable record of a submission, also when Redis's answer is lost, late or cut off."""

from __future__ import annotations

import logging
from collections.abc import Callable

import redis

from contracts.errors import HippocampError, NotReplicated, StoreUnavailable
from contracts.job import Job, Submission
from gateway.resources import Resources
from jobstore.replies import Submitted
from jobstore.store import AnswerForgotten
from runtime.redis_failures import about, failure_of

_log = logging.getLogger("hippocamp.gateway")


def record(submission: Submission, to: Resources, discard: Callable[[], None]) -> Submitted:
    """Submit; `discard` deletes the upload, and is called only when no record can ever name it."""
    try:
        return to.job_store.submit(submission, most_waiting=to.settings.most_waiting)
    except NotReplicated:
        raise  # the record is there, and names its upload: the caller asks again under the same key
    except redis.RedisError as error:
        return Submitted(_settled(submission, to, error, discard), lacking=True)
    except (HippocampError, AnswerForgotten):
        discard()
        raise


def _settled(
    submission: Submission, to: Resources, error: redis.RedisError, discard: Callable[[], None]
) -> dict[str, str]:
    """The submit may have been done, or be done later: show its record, or see to it that it makes none."""
    try:
        found = to.job_store.uploads.withdraw(submission.id, submission.input_blob)
    except redis.RedisError:
        # workers/maintenance/orphaned_uploads.py settles it
        _log.warning("upload.unsettled", extra={"job": submission.id, **about(error)})
        raise failure_of(error) from error
    if not found:
        discard()
        raise failure_of(error) from error
    return found


def takes_over(submission: Submission, job: Job, to: Resources) -> bool:
    """Whether the job, recorded before, now names the upload of this repeated request: its own was gone.

    True also when that cannot be known: then the upload stays until nobody has named it for long.
    """
    if submission.unstored or job.state.is_terminal:
        return False
    try:
        return not to.blobs.exists(job.text("input_blob")) and to.job_store.uploads.replace(job, submission)
    except StoreUnavailable:
        return False
    except redis.RedisError:
        return True
