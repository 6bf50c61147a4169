"""SR and Secondary Capture are read back by pydicom, and dicom3tools' validator finds no error in them."""

from __future__ import annotations

import io
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest

from contracts.result import NOTICE
from contracts.series_read import PassedOver, SeriesRead
from gateway.reports import bundle, capture, structured
from gateway.reports.report import Report
from tests.debian import unpacked
from tests.unit.gateway.reports.conftest import SOURCE


def read(data: bytes) -> pydicom.Dataset:
    return pydicom.dcmread(io.BytesIO(data))


@pytest.fixture(scope="session")
def dciodvfy() -> str:
    return unpacked("dciodvfy", package="dicom3tools")


def validated(data: bytes, dciodvfy: str, folder: Path) -> list[str]:
    """Errors that the validator finds, which must know what it reads."""
    file = folder / "x.dcm"
    file.write_bytes(data)
    said = subprocess.run([dciodvfy, "-new", file], capture_output=True, text=True, check=False, timeout=60)
    assert "EnhancedSR" in said.stderr or "SCImage" in said.stderr
    return [line for line in said.stderr.splitlines() if line.startswith("Error")]


@pytest.mark.parametrize("which", ["plain", "dicom", "unsure"])
@pytest.mark.parametrize("module", [structured, capture], ids=["sr", "sc"])
def test_the_validator_finds_no_error(
    which: str, module: object, dciodvfy: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    assert validated(module.render(request.getfixturevalue(which)), dciodvfy, tmp_path) == []  # type: ignore[attr-defined]


def test_the_report_reads_back(dicom: Report) -> None:
    document = highdicom.sr.srread(io.BytesIO(structured.render(dicom)))
    report = document.content
    answer, regions, quality = report.get_image_measurement_groups()
    numbers = {m.name.meaning: m.value for m in answer.get_measurements()}
    assert numbers["Probability of CDR >=1"] == 0.6
    assert numbers["Distance from the training data"] == 0.7
    assert {m.name.meaning: m.value for m in regions.get_measurements()} == {
        "Activation: medial temporal lobe": 1.4,
        "Activation: frontal cortex": 0.6,
    }
    verdicts = {e.name.meaning: e.value.meaning for e in answer.get_qualitative_evaluations()}
    assert verdicts["CDR group estimated from MRI"] == "CDR >=1: mild or worse"
    assert verdicts["No stage can be ruled out"] == "No"
    assert "Not for diagnosis" in verdicts["Intended use"]
    assert len(quality.get_measurements()) == 5
    assert (document.CompletionFlag, document.VerificationFlag) == ("COMPLETE", "UNVERIFIED")


def doubted(report: Report) -> Report:
    """With every kind of sentence: notices with long codes and texts, the series and two passed over."""
    passed = [
        PassedOver(
            number=n, description="t2 flair", images=40, code="other_contrast", reason=f"another {'x' * 80}"
        )
        for n in (9, 10)
    ]
    series = SeriesRead(
        number=5, description="t1 mprage", images=176, voxel_mm=(1, 1, 1), candidates=3, agent=True,
        passed_over=tuple(passed),
    )  # fmt: skip
    facts = {"contrast_uncertain": 1.0, "orientation_assumed": 1.0, "escalated": 1.0, "voxel_edge_mm": 2.0}
    quality = report.result.quality | facts
    about = {"quality": quality, "series": series, "out_of_distribution": 1.4}
    return replace(report, result=report.result.model_copy(update=about), age=50)


def texts(document: pydicom.Dataset) -> dict[str, list[str]]:
    """Every TEXT item at any depth, by the code of its name."""
    found: dict[str, list[str]] = {}
    for item in document.iterall():
        if item.keyword == "ContentSequence":
            for one in item.value:
                if one.ValueType == "TEXT":
                    found.setdefault(one.ConceptNameCodeSequence[0].CodeValue, []).append(one.TextValue)
    return found


def test_sentences_are_not_cut(dicom: Report, dciodvfy: str, tmp_path: Path) -> None:
    report = doubted(dicom)
    found = texts(read(structured.render(report)))
    assert len(report.notices) >= 6
    assert "contrast.uncertain" in {one.code for one in report.notices}
    assert found["notice"] == [f"{one.severity}: {one.text} [{one.code}]" for one in report.notices]
    assert found["series"] == ["series 5 't1 mprage' (1 x 1 x 1 mm)"]
    assert found["passed-over"] == list(report.passed_over)
    assert found["use"] == [NOTICE]
    assert validated(structured.render(report), dciodvfy, tmp_path) == []


def test_they_belong_to_the_inputs_study_and_point_back(dicom: Report) -> None:
    sr, sc = read(structured.render(dicom)), read(capture.render(dicom))
    assert sr.StudyInstanceUID == sc.StudyInstanceUID == SOURCE.study
    assert SOURCE.series not in {sr.SeriesInstanceUID, sc.SeriesInstanceUID}
    procedures = [
        *sr.get("CurrentRequestedProcedureEvidenceSequence", []),
        *sr.get("PertinentOtherEvidenceSequence", []),
    ]
    series = [one for procedure in procedures for one in procedure.ReferencedSeriesSequence]
    evidence: dict[str, set[str]] = {}
    for one in series:
        found = {item.ReferencedSOPInstanceUID for item in one.ReferencedSOPSequence}
        evidence.setdefault(one.SeriesInstanceUID, set()).update(found)
    assert evidence == {SOURCE.series: set(SOURCE.instances), sc.SeriesInstanceUID: {sc.SOPInstanceUID}}
    assert {procedure.StudyInstanceUID for procedure in procedures} == {SOURCE.study}
    assert {i.ReferencedSOPInstanceUID for i in sc.SourceImageSequence} == set(SOURCE.instances)


def test_without_dicom_input_they_open_a_study_of_their_own(plain: Report) -> None:
    sr, sc = read(structured.render(plain)), read(capture.render(plain))
    assert sr.StudyInstanceUID == sc.StudyInstanceUID
    assert str(sr.StudyInstanceUID).startswith("2.25.")
    assert "SourceImageSequence" not in sc


def test_the_picture(plain: Report) -> None:
    image = read(capture.render(plain))
    pixels = image.pixel_array
    assert pixels.shape == (4 * 208 + 56, 8 * 176, 3)
    assert np.ptp(pixels[:56]) > 200  # the words
    colour = np.ptp(pixels[56:].astype(int), axis=2)
    assert (colour > 40).mean() > 0.02  # the map
    assert image.PatientOrientation == ["L", "P"]


def test_the_nose_is_up(plain: Report) -> None:
    marked = plain.stack.slices.copy()
    marked[:, -20:, 60:100] = 255  # the front of the training grid is its last row
    report = replace(plain, stack=replace(plain.stack, slices=marked))
    tile = read(capture.render(report)).pixel_array[56 : 56 + 208, :176]
    plain_tile = read(capture.render(plain)).pixel_array[56 : 56 + 208, :176]
    rows = np.flatnonzero((tile != plain_tile).any(axis=(1, 2)))
    assert rows.max() < 20


def test_nobody_is_named_and_it_is_the_same_again(dicom: Report) -> None:
    before = [module.render(dicom) for module in (structured, capture, bundle)]
    time.sleep(1.01)
    assert [module.render(dicom) for module in (structured, capture, bundle)] == before
    for data in (structured.render(dicom), capture.render(dicom)):
        image = read(data)
        assert [str(image.get(name) or "") for name in ("PatientName", "PatientID", "PatientBirthDate")] == [
            ""
        ] * 3


def test_the_bundle_holds_both(dicom: Report) -> None:
    data = bundle.render(dicom)
    parts = data.split(f"--{bundle.BOUNDARY}".encode())
    assert parts[-1] == b"--\r\n"
    instances = [read(part.split(b"\r\n\r\n", 1)[1][:-2]) for part in parts[1:-1]]
    assert [one.Modality for one in instances] == ["SR", "OT"]
