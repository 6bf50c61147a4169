"""What the moves of the job store tell those who made them."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.errors import Backlog, BatchNotFound, HippocampError, JobStoreUnavailable, QuotaExceeded

_QUOTAS = {
    "quota:jobs": "The site has as many jobs waiting as it may; send it again when some have ended",
    "quota:bytes": "The site's waiting uploads fill its quota of bytes; send it again when some have ended",
    "quota:deliveries": "The site's webhook receivers owe too many deliveries; mend or remove the endpoints",
    "quota:kept": "The site keeps as many jobs as it may; erase old ones, or have its retention shortened",
    "quota:reading": "Reading the site's uploads took too much computing time; send smaller or plainer files",
}


@dataclass(frozen=True)
class Submitted:
    """The record as it stands, perhaps of an earlier submission; lacking: it has no wake-up on its way."""

    record: dict[str, str]
    lacking: bool


@dataclass(frozen=True)
class Published:
    """What a commit set off: whether its next stage lacks a wake-up, and deliveries it put in line.

    name: under which the result may be cached, "" when it is not to be.
    """

    lacking: bool
    deliveries: int
    name: str


@dataclass(frozen=True)
class QueueEstimate:
    """Records that start before this one, None when it does not wait; seconds until it is done, if known."""

    position: int | None
    eta_seconds: float | None


NOWHERE = QueueEstimate(None, None)
"""Of a job that has ended."""


@dataclass(frozen=True)
class Reaped:
    """What one sweep mended."""

    requeued: int
    poisoned: int
    expired: int


def refusal(why: str, *, batch: str, most_waiting: int) -> HippocampError:
    """The error of a submission that submit.lua did not take."""
    if why == "backlog":
        return Backlog(f"{most_waiting} jobs are waiting already; send it again later")
    if why == "no_batch":
        return BatchNotFound(f"No batch {batch}")
    if why == "withdrawn":
        return JobStoreUnavailable("The upload waited too long for its record; send it again")
    return QuotaExceeded(_QUOTAS[why], retry_after_seconds=30, quota=why.removeprefix("quota:"))
