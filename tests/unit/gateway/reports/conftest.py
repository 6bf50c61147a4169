"""Reports of made-up jobs: one whose input was DICOM, one whose was not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from contracts.result import Result
from contracts.source import DicomSource
from gateway.reports.report import Report
from tests.integration.gateway.conftest import head, maps, result

JOB_ID = "job_0123456789abcdef0123456789abcdef"
SOURCE = DicomSource(
    study="1.2.3.4",
    series="1.2.3.4.5",
    sop_class="1.2.840.10008.5.1.4.1.1.4",
    instances=tuple(f"1.2.3.4.5.{n}" for n in range(1, 161)),
    frame_of_reference="1.2.3.9",
)
QUALITY = {"brain_ml": 1430.5, "contrast": 1.31, "noise": 0.021, "coverage": 0.998, "registration_mm": 0.07}


@pytest.fixture
def plain() -> Report:
    """Of a NIfTI volume."""
    answer: Result = result().model_copy(update={"quality": QUALITY})
    return Report(
        job_id=JOB_ID,
        content_digest="c" * 64,
        created=datetime(2026, 11, 22, 9, 0, tzinfo=UTC),
        finished=datetime(2026, 11, 22, 9, 0, 4, tzinfo=UTC),
        result=answer,
        stack=head(),
        explanation=maps(),
    )


@pytest.fixture
def dicom(plain: Report) -> Report:
    """Of a DICOM series."""
    return replace(plain, stack=replace(plain.stack, source=SOURCE))


@pytest.fixture
def unsure(plain: Report) -> Report:
    """Whose answer rules nothing out."""
    doubt = {"prediction_set": ["0", "0.5", ">=1"], "uncertain": True, "out_of_distribution": 1.4}
    return replace(plain, result=plain.result.model_copy(update=doubt))
