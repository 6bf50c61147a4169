"""The job record as processes read it: one frozen view of a Redis hash."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from contracts.states import JobState, Priority, Stage


def new_job_id() -> str:
    """An id nobody can guess; it names no site, file or patient."""
    return f"job_{uuid.uuid4().hex}"


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What the gateway knows when it asks the job store to take a job.

    content_digest: SHA-256 hex of the uploaded bytes. input_blob: where they lie.
    input_digest: SHA-256 hex of what is stored there, "" when it is the same or nobody compares it; unstored:
    nothing is, because the result is known. size_bytes: of the upload as it was sent. stored_bytes: of what
    is stored of it until the job ends, which the site's quota counts; 0 while that is not known.
    patient_age (at most 90), patient_sex: when asked for.
    wanted_model: digest of the model that was asked for, "" for the one in service.
    covariates: what was told of the person, as contracts/covariates.py writes it.
    deadline_ms, not_before_ms: Unix time in milliseconds. answer_key: under which `result` was found, to be
    looked at once more when it is recorded. traceparent: of its trace, "" when none is kept.
    inbox: the collected study it was made of (jobstore/inbox.py). supersedes: the job whose place it takes.
    error_code, error_detail: why it ends as failed at once.
    """

    id: str
    site: str
    content_digest: str
    input_blob: str
    size_bytes: int
    media: str
    stored_bytes: int = 0
    priority: Priority = Priority.ROUTINE
    input_digest: str = ""
    unstored: bool = False
    patient_age: int | None = None
    patient_sex: str = ""
    wanted_model: str = ""
    covariates: str = ""
    deadline_ms: int | None = None
    not_before_ms: int | None = None
    batch: str = ""
    trace_id: str = ""
    traceparent: str = ""
    pipeline_digest: str = ""
    model_digest: str = ""
    result: str = ""
    answer_key: str = ""
    cache: str = "miss"
    inbox: str = ""
    supersedes: str = ""
    error_code: str = ""
    error_detail: str = ""

    def to_record(self) -> str:
        """JSON object of hash fields without those that are None, "" or False; numbers always stay."""
        return json.dumps({k: v for k, v in vars(self).items() if _is_given(v)})


def _is_given(value: object) -> bool:
    """By identity: `0 in (None, "", False)` is true, and a size of 0 bytes is a size."""
    return value is not None and value is not False and value != ""


@dataclass(frozen=True)
class Job:
    """One job as the record holds it; times are milliseconds of Unix time, 0 when not reached."""

    fields: Mapping[str, str]

    @property
    def id(self) -> str:
        return self.fields["id"]

    @property
    def site(self) -> str:
        return self.fields["site"]

    @property
    def state(self) -> JobState:
        return JobState(self.fields["state"])

    @property
    def stage(self) -> Stage:
        return Stage(self.fields["stage"])

    @property
    def attempt(self) -> int:
        return int(self.fields["attempt"])

    @property
    def artifact_prefix(self) -> str:
        """Where in the blob store lies what is made of the job's bytes (runtime/blobs.py)."""
        return self.fields.get("artifact_prefix") or self.fields["content_digest"]

    @property
    def version(self) -> int:
        """Raised by every transition; the ETag is made of it."""
        return int(self.fields.get("version", 0))

    @property
    def result(self) -> dict[str, Any] | None:
        """The result as JSON data once the job has succeeded."""
        text = self.fields.get("result", "")
        return json.loads(text) if text else None

    @property
    def context(self) -> dict[str, str | int]:
        """What every log line about the job says."""
        names = ("site", "stage", "trace_id")
        found: dict[str, str | int] = {name: self.text(name) for name in names}
        return {"job": self.id, **found, "attempt": self.attempt, "fence": int(self.fields.get("fence", 0))}

    def text(self, field: str) -> str:
        """A field as stored, "" when absent."""
        return self.fields.get(field, "")

    def time(self, field: str) -> datetime | None:
        """A `..._ms` field as an aware UTC time, None when absent."""
        value = self.fields.get(field)
        return datetime.fromtimestamp(int(value) / 1000, tz=UTC) if value else None

    def seconds(self, since: str, until: str) -> float | None:
        """Seconds between two `..._ms` fields, None until both are there."""
        if since not in self.fields or until not in self.fields:
            return None
        return (int(self.fields[until]) - int(self.fields[since])) / 1000


@dataclass(frozen=True)
class Claim:
    """A worker's right to work on a record until its lease ends; `fence` proves it at commit."""

    id: str
    stage: Stage
    fence: int
    record: Mapping[str, str]

    @property
    def job(self) -> Job:
        """The record as a job (stages preprocess and infer)."""
        return Job(self.record)

    @property
    def attempt(self) -> int:
        """1 for the first try at this stage."""
        return int(self.record["attempt"])

    @property
    def context(self) -> dict[str, str | int]:
        """What every log line about this claim says; a delivery is told with the job it is about."""
        job = self.record.get("job_id")
        return {
            "job": job or self.id,
            **({"delivery": self.id} if job else {}),
            "site": self.record["site"],
            "stage": str(self.stage),
            "attempt": self.attempt,
            "fence": self.fence,
            "trace_id": self.record.get("trace_id", ""),
        }
