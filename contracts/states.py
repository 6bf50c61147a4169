"""The states a job goes through, the stages that move it, and the three priorities."""

from __future__ import annotations

from enum import StrEnum


class JobState(StrEnum):
    """Where a job is; the last four are final."""

    QUEUED = "queued"
    PREPROCESSING = "preprocessing"
    QUEUED_INFER = "queued_infer"
    INFERRING = "inferring"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"

    @property
    def is_terminal(self) -> bool:
        """True once nothing will change the job any more, unless an operator opens it again."""
        return self in _TERMINAL


_TERMINAL = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED, JobState.EXPIRED})


class DeliveryState(StrEnum):
    """Where a webhook delivery is; it ends in the job's own terminal states."""

    PENDING = "pending"
    DELIVERING = "delivering"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Stage(StrEnum):
    """A position in the queue; also the name of the Celery queue that wakes its workers."""

    PREPROCESS = "preprocess"
    INFER = "infer"
    DELIVER = "deliver"


MOST_ATTEMPTS = {Stage.PREPROCESS: 3, Stage.INFER: 3, Stage.DELIVER: 10}
"""Claims that a record may use up at a stage before it is given up as poison."""


LONGEST_WORK_SECONDS = 86_400
"""No worker may be set to work longer on what it claimed; after that, nothing it stores can still come."""


class Priority(StrEnum):
    """Order among the jobs of one site; it never takes a turn from another site."""

    STAT = "stat"
    ROUTINE = "routine"
    BULK = "bulk"
