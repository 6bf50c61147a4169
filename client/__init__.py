"""The Python client of Hippocamp and the `hippocamp` command; imports nothing of the services."""

from __future__ import annotations

from client.asynchronous import AsyncClient, AsyncJobHandle
from client.errors import (
    BadInput,
    BadSignature,
    HippocampError,
    JobEnded,
    NotAllowed,
    NotFound,
    Refused,
    Unavailable,
    WaitedTooLong,
)
from client.exchange import RetryPolicy
from client.models import Job, JobPage, Problem, Result
from client.sync import Client, JobHandle
from client.webhooks import verify

__all__ = [
    "AsyncClient",
    "AsyncJobHandle",
    "BadInput",
    "BadSignature",
    "Client",
    "HippocampError",
    "Job",
    "JobEnded",
    "JobHandle",
    "JobPage",
    "NotAllowed",
    "NotFound",
    "Problem",
    "Refused",
    "Result",
    "RetryPolicy",
    "Unavailable",
    "WaitedTooLong",
    "verify",
]
