"""Answers that go on, or wait, after the view that decided on them has returned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from contracts.job import Job as Record
from gateway.http.links import Link
from gateway.jobs import views
from gateway.jobs.events import JobEvent
from jobstore.replies import QueueEstimate


@dataclass(frozen=True)
class Stream:
    """An answer that goes on as the job changes. seen: id of the last event that the client has."""

    job_id: str
    first: JobEvent
    seen: str
    link: Link

    def render(self, record: Record, estimate: QueueEstimate) -> JobEvent:
        """The job as it is now."""
        return JobEvent.of(views.view(record, estimate, link=self.link))


@dataclass(frozen=True)
class Wait:
    """An answer that may wait until the job has ended. body: the answer's JSON once it has."""

    job_id: str
    seconds: int
    body: Callable[[Record], bytes]
