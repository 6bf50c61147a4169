"""The wire types of what the page for operators draws."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gateway.http.schemas import Wire


class StageLoad(Wire):
    """One stage: all sites' records."""

    waiting: int
    running: int | None = Field(description="Held by workers; null for callers who see one site only")
    oldest_seconds: float
    started: int | None = Field(
        description="Claims since the job store was made; its growth is the throughput"
    )


class SiteFigures(Wire):
    """One site: what waits at which stage, how old the oldest is, jobs on record by state."""

    site: str
    waiting: dict[str, int]
    oldest_seconds: dict[str, float]
    jobs: dict[str, int]
    done: dict[str, int] = Field(description="Records that ever came through each stage")


class WorkerPool(Wire):
    """One pool of workers."""

    name: str
    queues: list[str]
    slots: int
    up_seconds: float
    silent_seconds: float
    silent: bool = Field(description="It has told nothing lately: gone, or cut off")


class FailingEndpoint(Wire):
    """A receiver of webhooks whose latest deliveries did not arrive."""

    site: str
    url: str
    disabled: str | None
    failing: int = Field(description="Of its latest deliveries, those that failed or are tried again")
    last_error: str | None


class Load(Wire):
    """The system, or one site of it, at this moment."""

    scope: Literal["all", "site"]
    at: float = Field(description="Unix seconds by Redis's clock")
    stages: dict[str, StageLoad]
    sites: list[SiteFigures]
    received_per_minute: list[int] = Field(description="Jobs taken in each of the last 60 minutes")
    workers: list[WorkerPool]
    drained: list[str] = Field(description="Stages and hosts that take nothing new")
    webhooks: list[FailingEndpoint]
    ended: dict[str, int] = Field(description="Jobs that entered each state since the job store was made")
