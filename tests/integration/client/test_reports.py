"""One result in every format, over HTTP, by the library and the command."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pydicom
import pypdfium2
import pytest
from fhir.resources.R4B.bundle import Bundle

from client import Client
from tests.integration.client.conftest import Run, nifti
from tests.support.hospital import Hospital


@pytest.fixture
def job_id(client: Client) -> str:
    handle = client.submit(nifti())
    assert handle.wait(timeout=60).state == "succeeded"
    return handle.id


def test_every_format(client: Client, job_id: str) -> None:
    assert json.loads(client.report(job_id))["job_id"] == job_id
    assert Bundle.model_validate_json(client.report(job_id, "fhir")).type == "collection"
    assert pydicom.dcmread(io.BytesIO(client.report(job_id, "sr"))).Modality == "SR"
    assert client.report(job_id, "dicom").count(b"Content-Type: application/dicom") == 2
    pdf = pypdfium2.PdfDocument(client.report(job_id, "pdf"))
    assert len(pdf) == 1
    pdf.close()


def test_the_command_saves_them(hippocamp: Run, job_id: str, tmp_path: Path) -> None:
    for kind, name in (("pdf", "pdf"), ("fhir", "fhir.json"), ("sr", "sr.dcm"), ("dicom", "multipart")):
        assert hippocamp("report", job_id, "--format", kind).stdout.strip() == f"{job_id}.{name}"
        assert (tmp_path / f"{job_id}.{name}").stat().st_size > 1000


@pytest.mark.parametrize(
    ("accept", "given"),
    [
        ("*/*", "application/json"),
        ("text/html, application/*;q=0.1", "application/json"),
        ("application/pdf;q=0.5, application/fhir+json", "application/fhir+json"),
        ("application/pdf, application/json;q=0.9", "application/pdf"),
        ("text/csv", "application/problem+json"),
    ],
)
def test_accept_decides(url: str, hospital: Hospital, job_id: str, accept: str, given: str) -> None:
    with hospital.http(url) as http:
        answer = http.get(f"/v1/jobs/{job_id}/result", headers={"Accept": accept})
    assert answer.headers["content-type"].startswith(given)
    assert answer.status_code == (406 if given.startswith("application/problem") else 200)
