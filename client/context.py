"""What every subcommand is given: where the service is, and how to print."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import click
from rich.console import Console

from client.asynchronous import AsyncClient
from client.exchange import RetryPolicy
from client.models import JobResult, JobStatus
from client.sync import Client


@dataclass(frozen=True)
class Session:
    """Options of the command line; opens clients."""

    url: str
    key: str = field(repr=False)
    timeout_seconds: float
    retry_policy: RetryPolicy

    def client(self) -> Client:
        """A client for plain code."""
        return Client(
            self.url, key=self.key, timeout_seconds=self.timeout_seconds, retry_policy=self.retry_policy
        )

    def async_client(self) -> AsyncClient:
        """A client for asyncio."""
        return AsyncClient(
            self.url, key=self.key, timeout_seconds=self.timeout_seconds, retry_policy=self.retry_policy
        )


def console() -> Console:
    """Where progress goes: stderr, so that stdout holds answers only."""
    return Console(stderr=True)


def put_json(data: Mapping[str, Any]) -> None:
    """One JSON document on one line of stdout."""
    click.echo(json.dumps(data, ensure_ascii=False))


def describe_job(job: JobStatus) -> str:
    """One line about a job."""
    parts = [job.id, job.state]
    if job.step:
        parts.append(job.step)
    if job.queue_position is not None:
        parts.append(f"{job.queue_position} ahead")
    if job.eta_seconds:
        parts.append(f"about {job.eta_seconds:.0f} s")
    if job.error:
        parts.append(f"{job.error.code}: {job.error.detail}")
    return "  ".join(parts)


def describe_result(result: JobResult) -> str:
    """The answer for a person, with its uncertainty first among equals."""
    lines = [f"{result.job_id}", f"  CDR {result.cdr}  {result.label}"]
    for key, cdr in zip(result.probabilities, ("0", "0.5", ">=1"), strict=False):
        low, high = result.interval[key]
        share = result.probabilities[key]
        lines.append(f"    CDR {cdr:<4} {share:6.1%}   90 % interval {low:.1%} to {high:.1%}")
    clinical = result.raw.get("clinical")
    if clinical:
        shares = ", ".join(f"{share:.1%}" for share in clinical["probabilities"].values())
        lines.append(
            f"  with {', '.join(clinical['used'])}: CDR {clinical['cdr']}  {clinical['label']} ({shares})"
        )
    stages = ", ".join(result.prediction_set)
    lines.append(f"  cannot be ruled out (90 %): CDR {stages}" + ("   UNCERTAIN" if result.uncertain else ""))
    lines += [f"  {one['severity']}: {one['text']}" for one in result.notices]
    far = "  unusual: unlike the training data" if result.out_of_distribution > 1 else ""
    lines.append(f"  distance from the training data: {result.out_of_distribution:.2f}{far}")
    lines.append(f"  {result.notice}")
    return "\n".join(lines)
