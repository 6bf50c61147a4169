"""A real head through the whole system, and its answer in every format; a real DICOM series by STOW-RS."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

import pydicom
import pypdfium2
import pytest
from dicomweb_client.api import DICOMwebClient
from fhir.resources.R4B.bundle import Bundle

from client import Client
from deploy.local.supervisor import LocalSystem
from tests.support.hospital import Hospital
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e


@pytest.fixture
def keep() -> Path | None:
    """HIPPOCAMP_KEEP: a folder to leave the documents in, for somebody to look at."""
    folder = os.environ.get("HIPPOCAMP_KEEP")
    return Path(folder) if folder else None


def documents(client: Client, job_id: str, keep: Path | None) -> dict[str, bytes]:
    found = {kind: client.report(job_id, kind) for kind in ("json", "fhir", "sr", "dicom", "pdf")}
    if keep:
        for kind, data in found.items():
            (keep / f"{job_id}.{kind}").write_bytes(data)
    return found


def test_a_head_in_four_formats(
    stack: LocalSystem, hospital: Hospital, volume: Path, keep: Path | None
) -> None:
    with Client(stack.settings.gateway_url, key=hospital.key) as client:
        result = client.submit(volume, age=71, sex="F", mmse=15).result(timeout=300)
        found = documents(client, result.job_id, keep)
    bundle = Bundle.model_validate_json(found["fhir"])
    assert f"CDR {result.cdr}" in bundle.entry[0].resource.conclusion
    document = pydicom.dcmread(io.BytesIO(found["sr"]))
    assert (document.Modality, document.VerificationFlag) == ("SR", "UNVERIFIED")
    page = pypdfium2.PdfDocument(found["pdf"])
    words = page[0].get_textpage().get_text_range()
    assert f"CDR {result.cdr}" in words
    page.close()

    clinical = result.raw["clinical"]
    assert clinical["used"] == ["age", "sex", "mmse"]
    assert clinical["cdr"] != "0"  # at 15 points, whatever the image says
    assert sum(clinical["probabilities"].values()) == pytest.approx(1, abs=1e-3)
    (coded,) = [one.resource for one in bundle.entry if one.resource.id == "clinical"]
    assert coded.valueCodeableConcept.text == f"CDR {clinical['cdr']}: {clinical['label']}"
    assert "with covariates" in str(document)
    assert f"With age, sex, MMSE: CDR {clinical['cdr']}" in words


def test_a_dicom_series_by_stow(stack: LocalSystem, hospital: Hospital, keep: Path | None) -> None:
    """A real 3-D T1 series; its report points back at all 160 instances."""
    data = os.environ.get("HIPPOCAMP_DATA")
    if not data:
        pytest.skip("HIPPOCAMP_DATA is not set: no real DICOM series to send")
    with zipfile.ZipFile(Path(data) / "volumes" / "uih_t1_gre_3d_sag_dicom.zip") as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
        instances = [pydicom.dcmread(io.BytesIO(archive.read(name))) for name in names]
    pacs = DICOMwebClient(f"{stack.settings.gateway_url}/dicom-web", headers=hospital.headers)
    answer = pacs.store_instances(instances)
    pacs._session.close()
    (address,) = {item.RetrieveURL for item in answer.ReferencedSOPSequence}
    with Client(stack.settings.gateway_url, key=hospital.key) as client:
        path, found = urlsplit(address).path, list[str]()
        eventually(lambda: found.extend(one["id"] for one in client.get(path).json()["jobs"]) or found)
        job_id = found[-1]
        assert client.wait(job_id, timeout=300).state == "succeeded"
        document = pydicom.dcmread(io.BytesIO(documents(client, job_id, keep)["sr"]))
    assert document.StudyInstanceUID == instances[0].StudyInstanceUID
    evidence = [
        *document.get("CurrentRequestedProcedureEvidenceSequence", []),
        *document.get("PertinentOtherEvidenceSequence", []),
    ]
    referenced = {
        item.ReferencedSOPInstanceUID
        for procedure in evidence
        for series in procedure.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    assert {one.SOPInstanceUID for one in instances} < referenced
