"""The wire types of what is collected of a study."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from gateway.http.schemas import JobSummary, Wire


class CollectedSeries(Wire):
    """One series as far as it came."""

    number: int = Field(description="As the scanner counts; 0 when not known")
    description: str = Field(description="Words of its description that name no person")
    instances: int = Field(description="Instances so far, those that are not for us included")


class CollectedStudy(Wire):
    """A study whose instances are collected, or kept for late ones."""

    study: str = Field(description="StudyInstanceUID as it is stored")
    state: Literal["collecting", "submitted"]
    waits_for: str | None = Field(description="What is missing before it becomes a job; null once it is one")
    series: list[CollectedSeries]
    instances: int
    bytes: int = Field(description="Of images that are kept")
    opened_at: datetime
    last_at: datetime = Field(description="When its latest instance came")
    job: str | None = Field(description="The latest job that was made of it")
    jobs: str = Field(description="Address of all its jobs")


class Inbox(Wire):
    """What of the site is collected, the longest quiet first."""

    studies: list[CollectedStudy]


class StudyJobs(Wire):
    """A study: what is collected of it, and the jobs made of it, oldest first; the last one counts."""

    collected: CollectedStudy | None = Field(description="Null when nothing is kept any more")
    jobs: list[JobSummary]
