"""The wire types: what the API takes and gives, and what its OpenAPI document is made of."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from contracts.covariates import NAMES, Covariates
from contracts.model_card import ModelCard as Card
from contracts.result import Cdr, Result
from contracts.states import JobState, Priority, Stage
from gateway.reports.notices import Notice

JOB_ID = "job_0123456789abcdef0123456789abcdef"
MODEL = "^[0-9a-f]{12,64}$"
BATCH_ID = "^bat_[0-9a-f]{32}$"
KEEP = "^(age|sex|age,sex|sex,age)$"
CURSOR = r"^[0-9]{1,15}\.job_[0-9a-f]{32}$"
DELIVERY_CURSOR = r"^[0-9]{1,15}\.whd_[0-9a-z_]{3,100}$"
MOST_DEADLINE = 31 * 86400


class Wire(BaseModel):
    """Base of every wire type: frozen, and strict about fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Problem(BaseModel):
    """RFC 9457 problem details; figures that belong to the problem follow as further members."""

    model_config = ConfigDict(frozen=True, extra="allow")

    type: str = Field(
        description="Address of the page that explains this code", examples=["/problems/input.not_3d"]
    )
    title: str
    status: int
    detail: str = Field(description="The bad value and what to do about it")
    code: str = Field(description="Stable name of the problem", examples=["input.not_3d"])
    retryable: bool = Field(description="Whether the same request may succeed later")
    trace_id: str = Field(description="Quote this to the operator")


class SubmitOptions(Covariates):
    """How a job is to be treated."""

    priority: Priority = Field(default=Priority.ROUTINE, description="Order among the site's own jobs")
    deadline_seconds: int | None = Field(
        default=None,
        ge=1,
        le=MOST_DEADLINE,
        description="Give up (state `expired`) when it is not done by then",
    )
    not_before_seconds: int = Field(
        default=0, ge=0, le=MOST_DEADLINE, description="Wait at least so long before work on it starts"
    )
    batch: str | None = Field(default=None, pattern=BATCH_ID, description="The batch it belongs to")
    model: str | None = Field(
        default=None,
        pattern=MODEL,
        description="Digest of the model that is to answer, or its beginning; the one in service otherwise",
    )
    keep: str | None = Field(
        default=None, pattern=KEEP, description="Note age, sex or both of a DICOM header with the job"
    )

    @property
    def covariates(self) -> Covariates:
        """What the caller told of the person."""
        return Covariates.model_validate({name: getattr(self, name) for name in NAMES})


class VolumeForm(SubmitOptions):
    """The multipart form of a submission."""

    file: bytes = Field(description="NIfTI, MGH, enhanced DICOM, or a zip of a DICOM study or a pair")


class Progress(Wire):
    """What a worker is doing right now."""

    stage: Stage
    step: str | None = Field(default=None, description="Step within the stage, when the worker tells it")


class Timings(Wire):
    """Seconds spent; null while the span has not ended."""

    wait_preprocess: float | None
    preprocess: float | None
    wait_infer: float | None
    infer: float | None
    total: float | None


class Links(Wire):
    """Where to go from here; pictures and result are null until the job has succeeded.

    qc: the quality sheet, also of a volume that the quality gate refused.
    """

    self: str
    cancel: str
    page: str
    result: str | None
    slices: str | None
    overview: str | None
    explanation: str | None
    planes: str | None
    brain: str | None
    qc: str | None


class Outcome(Wire):
    """The answer in short; the result says how sure it is."""

    cdr: Cdr
    label: str
    uncertain: bool = Field(description="True when no stage can be ruled out")


class KeptPatient(Wire):
    """What was kept of a person, because the sender asked for it."""

    age_years: int | None = Field(ge=0, le=90, description="At the time of the scan; 90 is 90 or more")
    sex: Literal["M", "F", "O"] | None


class JobSummary(Wire):
    """One job, as lists show it."""

    id: str = Field(pattern="^job_[0-9a-f]{32}$", examples=[JOB_ID])
    state: JobState
    stage: Stage
    priority: Priority
    batch: str | None = Field(description="The batch it was sent in")
    progress: Progress
    attempt: int = Field(ge=0, description="Tries at the present stage, this one included")
    cache: Literal["hit", "miss"] = Field(description="hit: the result of these bytes was known already")
    content_digest: str = Field(description="SHA-256 of the uploaded bytes")
    size_bytes: int = Field(description="Bytes of the upload as it was sent")
    media: str = Field(description="Container the bytes were recognised as", examples=["nifti.gz"])
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None
    deadline_at: datetime | None
    not_before_at: datetime | None = Field(description="It waits until then; null when it may start")
    timings: Timings
    trace_id: str
    patient: KeptPatient | None = Field(description="Null unless `keep` asked for it")
    model: str | None = Field(description="Digest of the model that was asked for by name")
    rescored_from: str | None = Field(description="The job whose prepared slices were scored again")
    supersedes: str | None = Field(description="The job whose place it takes: more of the study came since")
    superseded_by: str | None = Field(description="The job that took its place")
    covariates: Covariates | None = Field(description="What was told of the person for the clinical answer")
    error: Problem | None = Field(description="Why it failed or expired")
    outcome: Outcome | None = Field(description="The answer of a job that succeeded")
    links: Links


class Job(JobSummary):
    """One job with its position in the queue."""

    queue_position: int | None = Field(
        description="Jobs that start before this one; null when it does not wait"
    )
    eta_seconds: float | None = Field(
        description="Seconds until it should be done, from the job store's present pace"
    )


class JobPage(Wire):
    """A page of jobs, newest first. It may hold fewer than `limit` and still have a `next`."""

    jobs: list[JobSummary]
    next: str | None = Field(description="Cursor for `after`; null at the end")


class JobQuery(Wire):
    """Filter and paging of the job list."""

    state: JobState | None = None
    priority: Priority | None = None
    q: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_.]{2,64}$",
        description="Beginning of a job id, of the SHA-256 of the bytes, of an error code or a trace id",
    )
    after: str | None = Field(default=None, pattern=CURSOR, description="`next` of the page before")
    limit: int = Field(default=50, ge=1, le=200)


class JobResult(Result):
    """The answer about one volume and where it came from."""

    job_id: str = Field(examples=[JOB_ID])
    notices: list[Notice] = Field(description="What a reader must know beside the answer")
    content_digest: str = Field(description="SHA-256 of the uploaded bytes")
    cache: Literal["hit", "miss"]
    superseded_by: str | None = Field(
        default=None, description="The job over more images of the same study that took its place"
    )
    created_at: datetime
    finished_at: datetime


class Model(Wire):
    """A model that answers, or has answered, here."""

    name: str = Field(
        description="`hippocamp` for the one in service; any by its digest", examples=["hippocamp"]
    )
    digest: str = Field(description="SHA-256 of the model archive's contents, as results name it")
    in_service: bool
    card: str = Field(description="Address of its card")


class Models(Wire):
    """Every model whose card is known; the one in service first."""

    models: list[Model]


class ModelCard(Wire):
    """What the model is for, what it was measured on, and where it fails."""

    name: str
    digest: str
    in_service: bool
    card: Card = Field(description="As data: uses, cohorts, figures with intervals, failures, confounds")
    markdown: str = Field(description="The same for people")


class Dependency(Wire):
    """One thing the service needs."""

    ok: bool
    detail: str
    age_seconds: float | None = Field(default=None, description="Since it last proved that it works")


class Readiness(Wire):
    """Whether work can be accepted and done; every dependency by name."""

    ready: bool
    dependencies: dict[str, Dependency]


class Alive(Wire):
    """The process answers."""

    alive: Literal[True] = True
