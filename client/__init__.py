"""The Python client of Hippocamp and the `hippocamp` command; imports nothing of the services."""

from __future__ import annotations

from client.asynchronous import AsyncClient, AsyncJobHandle
from client.errors import (
    BadInput,
    BadSignature,
    ClientError,
    JobEnded,
    NotAllowed,
    NotFound,
    Refused,
    Unavailable,
    WaitedTooLong,
)
from client.exchange import RetryPolicy
from client.models import JobPage, JobResult, JobStatus, Problem
from client.sync import Client, JobHandle
from client.webhooks import verify

__all__ = [
    "AsyncClient",
    "AsyncJobHandle",
    "BadInput",
    "BadSignature",
    "Client",
    "ClientError",
    "JobEnded",
    "JobHandle",
    "JobPage",
    "JobResult",
    "JobStatus",
    "NotAllowed",
    "NotFound",
    "Problem",
    "Refused",
    "RetryPolicy",
    "Unavailable",
    "WaitedTooLong",
    "verify",
]
