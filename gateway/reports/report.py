"""What every format is rendered from: the result, the pictures behind it, and where they came from."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version

from contracts.explanation import Explanation
from contracts.job import Job
from contracts.result import CDR, CLASS_KEYS, LABELS, Result
from contracts.series_read import PassedOver
from contracts.stack import Stack
from gateway.images.artifacts import load_explanation, load_stack
from gateway.jobs.views import age_of
from gateway.reports.notices import Notice, notices_of
from runtime.blobs import BlobStore

_NAMESPACE = uuid.UUID("8f0d4e0c-6b0c-5d43-9a4e-2f4a35d0c7a1")
"""Ours, for ids that are derived from a job's id and so are the same whenever they are asked for."""

SOFTWARE = "Hippocamp"


@dataclass(frozen=True)
class Stage:
    """One class of the answer: its rating, probability and 90 % interval."""

    key: str
    cdr: str
    label: str
    probability: float
    low: float
    high: float


@dataclass(frozen=True)
class Report:
    """One finished job with all that a document about it shows. age: in years, None when it is not known.

    superseded_by: the job that took its place, "" when none did.
    """

    job_id: str
    content_digest: str
    created: datetime
    finished: datetime
    result: Result
    stack: Stack
    explanation: Explanation
    age: float | None = None
    superseded_by: str = ""

    @property
    def notices(self) -> list[Notice]:
        """What a reader must know beside the answer, warnings first."""
        return notices_of(self.result, age=self.age, superseded_by=self.superseded_by)

    @property
    def passed_over(self) -> tuple[str, ...]:
        """Series of the study that were not read, a line each."""
        series = self.result.series
        return tuple(line_of(one) for one in series.passed_over) if series else ()

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The classes in the model's order."""
        p, interval = self.result.probabilities, self.result.interval
        return tuple(
            Stage(key, cdr, LABELS[cdr], getattr(p, key), *getattr(interval, key))
            for key, cdr in zip(CLASS_KEYS, CDR, strict=True)
        )

    @property
    def clinical(self) -> tuple[Stage, ...]:
        """The classes as the answer with covariates sees them, which has no intervals; () without one."""
        found = self.result.clinical
        if found is None:
            return ()
        shares = [(key, getattr(found.probabilities, key)) for key in CLASS_KEYS]
        named = zip(shares, CDR, strict=True)
        return tuple(Stage(key, cdr, LABELS[cdr], p, p, p) for (key, p), cdr in named)

    @property
    def decided(self) -> int:
        """Index of the most probable class."""
        return CDR.index(self.result.cdr)

    def derived_uuid(self, what: str) -> uuid.UUID:
        """An id of a part of this report, the same at every rendering."""
        return uuid.uuid5(_NAMESPACE, f"{self.job_id}/{what}")


def software_version() -> str:
    """Version of the installed package."""
    return version("hippocamp")


def line_of(one: PassedOver) -> str:
    """A series that was not read, and why, in one line."""
    number = f"series {one.number}" if one.number else "series"
    words = f" {one.description!r}" if one.description else ""
    return f"{number}{words}, {one.images} images: {one.reason}"


def gather(job: Job, blobs: BlobStore) -> Report:
    """Everything about a succeeded job; NoPictures when its stack or maps are no longer kept."""
    never = datetime.fromtimestamp(0, tz=UTC)
    return Report(
        job_id=job.id,
        content_digest=job.text("content_digest"),
        created=job.time("created_ms") or never,
        finished=job.time("finished_ms") or never,
        result=Result.model_validate(job.result),
        stack=load_stack(blobs, job),
        explanation=load_explanation(blobs, job),
        age=age_of(job),
        superseded_by=job.text("superseded_by"),
    )
