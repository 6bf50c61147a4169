"""Who calls, and whether a job is theirs; another site's job does not exist for them."""

from __future__ import annotations

from contracts.errors import JobNotFound
from contracts.job import Job
from gateway.resources import resources


def current_site() -> str:
    """The caller's site."""
    return resources().settings.site


def own_job(job_id: str) -> Job:
    """The job when it belongs to the caller's site; JobNotFound otherwise, whoever else may own it."""
    job = resources().line.get(job_id)
    if job.site != current_site():
        raise JobNotFound(f"No job {job_id}")
    return job
