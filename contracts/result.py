"""The answer about one volume, as inference writes it and every output format reads it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from contracts.covariates import Known
from contracts.series_read import SeriesRead

NOTICE = "Research use only. Not a medical device. Not for diagnosis."

Cdr = Literal["0", "0.5", ">=1"]
CDR: tuple[Cdr, Cdr, Cdr] = ("0", "0.5", ">=1")
LABELS: dict[Cdr, str] = {"0": "normal", "0.5": "very mild", ">=1": "mild or worse"}
CLASS_KEYS = ("cdr0", "cdr05", "cdr1")
"""Names of the three classes in JSON fields, CSV columns and overlay parameters, in the model's order."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Probabilities(_Frozen):
    """Calibrated probability of each stage; they add up to one."""

    cdr0: float = Field(ge=0, le=1)
    cdr05: float = Field(ge=0, le=1)
    cdr1: float = Field(ge=0, le=1)


class Intervals(_Frozen):
    """90 % interval of each probability, [low, high]."""

    cdr0: tuple[float, float]
    cdr05: tuple[float, float]
    cdr1: tuple[float, float]


class Clinical(_Frozen):
    """The second answer: the image and what was told of the person. It has no interval of its own."""

    cdr: Cdr = Field(description="Most probable group by image and covariates together")
    label: str = Field(description="The rating in words")
    probabilities: Probabilities
    used: list[Known] = Field(description="What was told beside the image")


class Result(_Frozen):
    """One volume's answer. It names no person, site or file, so equal inputs share it within a site."""

    cdr: Cdr = Field(description="Most probable Clinical Dementia Rating group")
    label: str = Field(description="The rating in words")
    probabilities: Probabilities
    interval: Intervals
    prediction_set: list[Cdr] = Field(description="90 % conformal set: the stages that cannot be ruled out")
    uncertain: bool = Field(description="True when no stage can be ruled out")
    out_of_distribution: float = Field(description="Distance from the training data; above 1 is unusual")
    model_digest: str = Field(description="SHA-256 of the model archive's contents")
    pipeline_digest: str = Field(description="SHA-256 of the preprocessing code and weights")
    model_engine: str = Field(default="", description="Arithmetic the model ran in")
    regions: dict[str, float] = Field(
        default={},
        description="The decided stage's map by region, over its mean in the brain; 1 is average",
    )
    clinical: Clinical | None = Field(
        default=None, description="The answer that also knows the covariates; null when none were sent"
    )
    series: SeriesRead | None = Field(
        default=None,
        description="The series that was read of those sent, and those passed over; null for a single volume",
    )
    quality: dict[str, float] = Field(description="Measures of the quality gate")
    seconds: dict[str, float] = Field(description="Seconds of each step that made this result")
    notice: str = NOTICE
