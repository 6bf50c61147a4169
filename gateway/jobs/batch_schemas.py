"""The wire types of batches."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from gateway.http.schemas import BATCH_ID, JobPage, Wire


class BatchRequest(Wire):
    """A batch to open."""

    description: str = Field(default="", max_length=200, description="For your own eyes; name no patient")
    expected: int | None = Field(default=None, ge=1, le=1_000_000, description="Jobs you mean to send")


class BatchCounts(Wire):
    """Jobs of the batch in each state."""

    queued: int = 0
    preprocessing: int = 0
    queued_infer: int = 0
    inferring: int = 0
    succeeded: int = 0
    failed: int = 0
    canceled: int = 0
    expired: int = 0


class Batch(Wire):
    """One handle for many jobs."""

    id: str = Field(pattern=BATCH_ID)
    description: str
    expected: int | None
    created_at: datetime
    total: int = Field(description="Jobs in it so far")
    ended: int = Field(description="Those that have a result or another end")
    complete: bool = Field(description="All have ended, and as many as were expected have come")
    counts: BatchCounts


class BatchPage(Batch, JobPage):
    """A batch and a page of its jobs, newest first."""
