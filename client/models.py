"""What the service answers, as typed values; fields a newer service adds stay in `raw`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = Mapping[str, Any]

TERMINAL = frozenset({"succeeded", "failed", "canceled", "expired"})


@dataclass(frozen=True)
class Problem:
    """Why a request or a job failed (RFC 9457)."""

    code: str
    detail: str
    status: int
    retryable: bool = False
    trace_id: str = ""

    @classmethod
    def of(cls, data: Json, *, status: int = 0) -> Problem:
        """From a problem document; what it lacks is filled from the HTTP status."""
        return cls(
            code=str(data.get("code") or f"http.{status}"),
            detail=str(data.get("detail") or data.get("title") or "no detail was given"),
            status=int(data.get("status") or status),
            retryable=bool(data.get("retryable", False)),
            trace_id=str(data.get("trace_id", "")),
        )


@dataclass(frozen=True)
class JobStatus:
    """One job as the service showed it; `raw` is the whole answer."""

    id: str
    state: str
    stage: str
    step: str
    queue_position: int | None
    eta_seconds: float | None
    cache: str
    error: Problem | None
    raw: Json = field(repr=False, compare=False, default_factory=dict)

    @property
    def is_terminal(self) -> bool:
        """True once nothing will change the job any more."""
        return self.state in TERMINAL

    @classmethod
    def of(cls, data: Json) -> JobStatus:
        """From the JSON of `GET /v1/jobs/{id}`."""
        progress = data.get("progress") or {}
        error = data.get("error")
        return cls(
            id=data["id"],
            state=data["state"],
            stage=str(data.get("stage", "")),
            step=str(progress.get("step") or ""),
            queue_position=data.get("queue_position"),
            eta_seconds=data.get("eta_seconds"),
            cache=str(data.get("cache", "miss")),
            error=Problem.of(error) if error else None,
            raw=data,
        )


@dataclass(frozen=True)
class JobResult:
    """The answer about one volume. Research use only; not for diagnosis.

    probabilities, interval: class (`cdr0`, `cdr05`, `cdr1`) -> probability, (low, high) of 90 %.
    prediction_set: the stages that cannot be ruled out. notices: what a reader must know beside the answer,
    each with `code`, `text`, `severity`; warnings first.
    """

    job_id: str
    cdr: str
    label: str
    probabilities: dict[str, float]
    interval: dict[str, tuple[float, float]]
    prediction_set: tuple[str, ...]
    uncertain: bool
    out_of_distribution: float
    notice: str
    notices: tuple[dict[str, str], ...] = ()
    raw: Json = field(repr=False, compare=False, default_factory=dict)

    @classmethod
    def of(cls, data: Json) -> JobResult:
        """From the JSON of `GET /v1/jobs/{id}/result`."""
        return cls(
            job_id=data["job_id"],
            cdr=data["cdr"],
            label=data["label"],
            probabilities={k: float(p) for k, p in data["probabilities"].items()},
            interval={k: (float(low), float(high)) for k, (low, high) in data["interval"].items()},
            prediction_set=tuple(data["prediction_set"]),
            uncertain=bool(data["uncertain"]),
            out_of_distribution=float(data["out_of_distribution"]),
            notice=str(data.get("notice", "")),
            notices=tuple(data.get("notices", ())),
            raw=data,
        )


@dataclass(frozen=True)
class JobPage:
    """Some jobs, newest first; `following` is the cursor of the next page, None at the end."""

    jobs: tuple[JobStatus, ...]
    following: str | None
