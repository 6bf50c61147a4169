"""The bundle is valid FHIR R4 and says what the result says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle

from gateway.reports import fhir
from gateway.reports.report import Report


def resources(report: Report, kind: str) -> list[dict[str, Any]]:
    entries = json.loads(fhir.render(report))["entry"]
    return [entry["resource"] for entry in entries if entry["resource"]["resourceType"] == kind]


@pytest.mark.parametrize("which", ["plain", "dicom", "unsure"])
def test_it_is_valid(which: str, request: pytest.FixtureRequest) -> None:
    bundle = Bundle.model_validate_json(fhir.render(request.getfixturevalue(which)))
    assert [entry.resource.__class__.__name__ for entry in bundle.entry][:2] == [
        "DiagnosticReport",
        "Observation",
    ]


def test_an_invalid_bundle_would_be_seen(plain: Report) -> None:
    data = json.loads(fhir.render(plain))
    data["entry"][0]["resource"]["status"] = ["done"]
    with pytest.raises(ValueError, match="status"):
        Bundle.model_validate(data)


def test_every_reference_leads_somewhere(dicom: Report) -> None:
    data = json.loads(fhir.render(dicom))
    urls = {entry["fullUrl"] for entry in data["entry"]}
    (report,) = resources(dicom, "DiagnosticReport")
    assert {one["reference"] for one in report["result"]} < urls
    assert {one["device"]["reference"] for one in resources(dicom, "Observation")} < urls
    assert len(urls) == len(data["entry"])
    assert report["imagingStudy"][0]["identifier"]["value"] == "urn:oid:1.2.3.4"


def test_it_says_what_the_result_says(unsure: Report) -> None:
    (report,) = resources(unsure, "DiagnosticReport")
    assert report["status"] == "preliminary"
    assert "No stage can be ruled out" in report["conclusion"]
    assert "Not for diagnosis" in report["conclusion"]
    by_id = {one["id"]: one for one in resources(unsure, "Observation")}
    assert by_id["probability-cdr1"]["valueQuantity"]["value"] == 0.6
    assert [c["valueQuantity"]["value"] for c in by_id["probability-cdr1"]["component"]] == [0.4, 0.8]
    assert by_id["stage"]["interpretation"][0]["coding"][0]["code"] == "IND"
    assert by_id["quality-brain-ml"]["valueQuantity"]["value"] == 1430.5


def test_it_names_no_person_and_is_the_same_again(dicom: Report) -> None:
    first = fhir.render(dicom)
    assert fhir.render(dicom) == first
    assert b"Patient" not in first.replace(b"patient's", b"")


def test_the_regions_are_components_of_one_observation(plain: Report) -> None:
    (found,) = [one for one in resources(plain, "Observation") if one["id"] == "activation-by-region"]
    assert {part["code"]["text"]: part["valueQuantity"]["value"] for part in found["component"]} == {
        "medial temporal lobe": 1.4,
        "frontal cortex": 0.6,
    }
