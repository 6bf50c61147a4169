"""What a reader of a result must know beside the answer: one place that derives it, for every format.

Codes are stable and say nothing about a person beyond a range of age, so they may go anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from contracts.result import Result
from contracts.series_read import SeriesRead

INTENDED_AGE = 60
"""Years; the model was trained on people of this age and more."""

COARSE_MM = 1.5
"""Voxel edge above which small structures blur."""

UNUSUAL = 1.0
"""Distance from the training data that 99 of 100 of its own scans stay below."""

NEAR = 0.8
"""Share of that distance from which on it is told."""

MISSING = "missing_images"
"""Code under which `passed_over` lists images of the series itself that were announced and did not come."""


class Severity(StrEnum):
    """info: how the answer came about. warning: it may be wrong for this reason."""

    INFO = "info"
    WARNING = "warning"


class Notice(BaseModel):
    """One thing the reader must know."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str = Field(description="Stable name", examples=["orientation.assumed"])
    text: str = Field(description="One or two sentences for a person")
    severity: Severity


def notices_of(result: Result, *, age: float | None, superseded_by: str = "") -> list[Notice]:
    """Of a result; age: in years, as the sender gave it or as the header's was kept, None when unknown.

    superseded_by: the job that was made when more images of the study came, "" when none did.
    """
    found = [
        *_of_the_study(superseded_by),
        *_of_the_image(result),
        *_of_the_series(result.series),
        *_of_the_person(age),
        *_of_the_model(result),
    ]
    return sorted(found, key=lambda one: one.severity is Severity.INFO)


def _of_the_study(superseded_by: str) -> Iterator[Notice]:
    if superseded_by:
        yield _warning(
            "result.superseded",
            f"More images of the study came after this result. Use job {superseded_by}, made of all of them.",
        )


def _of_the_image(result: Result) -> Iterator[Notice]:
    if result.quality.get("orientation_assumed"):
        yield _warning(
            "orientation.assumed",
            "The file does not say how it lies: left and right are assumed. Check them before using a side.",
        )
    if result.quality.get("contrast_uncertain"):
        yield _warning(
            "contrast.uncertain",
            "White and grey matter differ less than in most T1-weighted images: the scan may be of "
            "another contrast or taken with an agent. Look at the quality sheet, and send a plain T1 if "
            "there is one.",
        )
    edge = result.quality.get("voxel_edge_mm", 0.0)
    if edge > COARSE_MM:
        yield _warning(
            "voxels.coarse",
            f"The longest voxel edge is {edge:.1f} mm; small structures blur above {COARSE_MM:g} mm. "
            "Send a series of 1 mm if there is one.",
        )
    if result.quality.get("escalated"):
        yield _info(
            "brain.second_extraction",
            "The first brain extraction was doubtful, so a second network did it. Look at the quality sheet.",
        )


def _of_the_series(series: SeriesRead | None) -> Iterator[Notice]:
    if series is None:
        return
    if series.agent:
        yield _warning(
            "series.contrast_agent",
            "The series was taken with a contrast agent, and the model has never seen one. Use a plain T1.",
        )
    for one in series.passed_over:
        if one.code == MISSING:
            yield _warning(
                "series.incomplete",
                f"Images may be missing: {one.reason}. The series was read without them. Compare it with the "
                "archive before using the result.",
            )
    if series.candidates > 1:
        yield _info(
            "series.chosen",
            f"The study holds {series.candidates} T1 series; {named(series)} was read. "
            "The others are listed with the reason.",
        )


def _of_the_person(age: float | None) -> Iterator[Notice]:
    outside = f"outside the intended use: trained on people of {INTENDED_AGE} and more"
    if age is None:
        yield _info(
            "age.unknown", f"The age is not known; below {INTENDED_AGE} years the result is {outside}."
        )
    elif age < INTENDED_AGE:
        yield _warning("age.outside", f"The person is younger than {INTENDED_AGE} years: {outside}.")


def _of_the_model(result: Result) -> Iterator[Notice]:
    distance = result.out_of_distribution
    if distance > UNUSUAL:
        yield _warning(
            "distribution.outside",
            f"The image is unlike those the model was trained on (distance {distance:.2f}; above {UNUSUAL:g} "
            "is unusual). Trust the answer less.",
        )
    elif distance > NEAR * UNUSUAL:
        yield _info(
            "distribution.near",
            f"The image is near the edge of what the model was trained on (distance {distance:.2f}; "
            f"above {UNUSUAL:g} is unusual).",
        )


def named(series: SeriesRead) -> str:
    """A series in a few words: number, description after de-identification, size of its voxels."""
    number = f"series {series.number}" if series.number else "the series"
    words = f" {series.description!r}" if series.description else ""
    edges = " x ".join(f"{edge:.3g}" for edge in series.voxel_mm)
    return f"{number}{words} ({edges} mm)"


def _warning(code: str, text: str) -> Notice:
    return Notice(code=code, text=text, severity=Severity.WARNING)


def _info(code: str, text: str) -> Notice:
    return Notice(code=code, text=text, severity=Severity.INFO)
