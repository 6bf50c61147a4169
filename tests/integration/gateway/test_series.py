"""One study of one person, and what the reader must know, through the gateway as a hospital uses it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import pydicom
import pypdfium2 as pdfium
import pytest
from flask.testing import FlaskClient

from contracts.series_read import PassedOver, SeriesRead
from tests.inputs import made
from tests.integration.dicomweb.series import slices

pytestmark = [pytest.mark.integration, pytest.mark.inputs]

RAW = "application/octet-stream"


def send(http: FlaskClient, data: bytes, **headers: str) -> tuple[int, dict[str, object]]:
    answer = http.post("/v1/jobs", data=data, content_type=RAW, headers=headers)
    return answer.status_code, answer.get_json()


def test_two_people_in_one_upload_are_refused_and_nothing_is_kept(http: FlaskClient) -> None:
    stranger = slices("1.9.1", StudyInstanceUID="1.9", PatientID="SECRET-8", PatientAge="081Y")
    status, problem = send(http, made.study(made.t1(), stranger), **{"Hippocamp-Keep": "age,sex"})
    assert (status, problem["code"]) == (422, "input.several_studies")
    assert (problem["patients"], problem["studies"], problem["retryable"]) == (2, 2, False)
    assert "SECRET" not in json.dumps(problem)
    assert http.get("/v1/jobs").get_json()["jobs"] == []


@pytest.mark.parametrize(
    ("data", "media"),
    [
        (made.multi_frame(), "dicom"),
        (made.zipped({"export.zip": made.study(made.t1())}), "zip"),
        (made.bids("sub-01"), "zip"),
        (made.zipped(made.bare(one, implicit=True) for one in made.t1()), "zip"),
    ],
    ids=["enhanced", "zip in zip", "BIDS", "no preamble"],
)
def test_what_people_send_is_taken(http: FlaskClient, data: bytes, media: str) -> None:
    status, job = send(http, data)
    assert (status, job["media"]) == (202, media)


def test_one_slice_is_told_to_bring_the_others(http: FlaskClient) -> None:
    status, problem = send(http, made.encoded(made.t1()[0]))
    assert (status, problem["code"]) == (422, "input.bad_series")
    assert "Send the whole series as a zip archive" in str(problem["detail"])


OTHER = PassedOver(
    number=9, description="t2 flair", images=40, code="other_contrast", reason="another contrast"
)
SERIES = SeriesRead(
    number=5,
    description="t1 mprage",
    images=176,
    voxel_mm=(1.0, 1.0, 2.0),
    candidates=2,
    passed_over=(OTHER,),
)


@pytest.fixture
def answered(http: FlaskClient, finish: Callable[..., None]) -> str:
    """A job about a person of 45 and a study with two T1 series, of a file that does not say how it lies."""
    _, job = send(http, made.study(made.t1()), **{"Hippocamp-Age": "45"})
    figures = ("orientation_assumed", "contrast_uncertain", "escalated")
    more = {"series": SERIES, "quality": dict.fromkeys(figures, 1.0) | {"voxel_edge_mm": 2.0}}
    finish(str(job["id"]), more)
    return f"/v1/jobs/{job['id']}/result"


CODES = [
    "orientation.assumed", "contrast.uncertain", "voxels.coarse", "age.outside", "brain.second_extraction",
    "series.chosen",
]  # fmt: skip


def test_the_result_names_series_and_notices(http: FlaskClient, answered: str) -> None:
    result = http.get(answered).get_json()
    assert [one["code"] for one in result["notices"]] == CODES
    assert {one["severity"] for one in result["notices"]} == {"warning", "info"}
    assert (result["series"]["number"], result["series"]["voxel_mm"]) == (5, [1.0, 1.0, 2.0])
    assert result["series"]["passed_over"] == [vars(OTHER)]


def test_fhir_says_the_same(http: FlaskClient, answered: str) -> None:
    bundle = http.get(answered, headers={"Accept": "application/fhir+json"}).get_json(force=True)
    by_id = {entry["resource"]["id"]: entry["resource"] for entry in bundle["entry"]}
    parts = by_id["notices"]["component"]
    assert [part["valueCodeableConcept"]["coding"][0]["code"] for part in parts] == CODES
    assert "left and right are assumed" in by_id["report"]["conclusion"]
    assert by_id["series"]["valueString"] == "series 5 't1 mprage' (1 x 1 x 2 mm)"
    assert "t2 flair" in by_id["series"]["note"][0]["text"]


def test_sr_and_pdf_say_the_same(http: FlaskClient, answered: str) -> None:
    report = http.get(answered, headers={"Accept": "application/dicom"}).data
    content = pydicom.dcmread(io.BytesIO(report)).to_json()
    for said in (*(f"[{code}]" for code in CODES), "left and right are assumed", "5 't1 mprage'", "t2 flair"):
        assert said in content
    page = http.get(answered, headers={"Accept": "application/pdf"}).data
    document = pdfium.PdfDocument(page)
    text = document[0].get_textpage().get_text_range()
    assert "left and right are assumed" in text
    assert "White and grey matter differ less" in text
    assert "trained on people of 60 and more" in text
    assert "series 5 't1 mprage'" in text
    assert len(document) == 1
    document.close()
