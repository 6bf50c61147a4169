"""Names planted wherever a file can hold one, then looked for in every byte the system keeps or sends."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from deploy.local.supervisor import LocalSystem
from tests.e2e import volumes
from tests.e2e.receiver import Receiver
from tests.e2e.service import Service
from tests.support.collector import Collector
from tests.support.waiting import MOST_WAIT_SECONDS, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.privacy]

CANARY = "Zqxcanary"
"""Every planted name starts with it, so one search finds them all."""


def name(where: str) -> str:
    """A name that tells, when it is found, where it was planted."""
    return f"{CANARY}{where}"


def named_nifti(volume: Path) -> bytes:
    """A head whose header, extension and gzip wrapper hold names."""
    image = nib.load(volume)
    data = np.asanyarray(image.dataobj).copy()
    data[0, 0, 0] += 77
    made = nib.Nifti1Image(data, image.affine)
    for field in ("descrip", "aux_file", "intent_name", "db_name", "data_type"):
        made.header[field] = name(field)[: made.header[field].dtype.itemsize].encode()
    made.header.extensions.append(nib.nifti1.Nifti1Extension("comment", name("extension").encode()))
    raw = made.to_bytes()
    deflated = zlib.compressobj(1, wbits=-15)
    body = deflated.compress(raw) + deflated.flush()
    names = name("gzipname").encode() + b"\0" + name("gzipcomment").encode() + b"\0"
    return b"\x1f\x8b\x08\x18" + bytes(6) + names + body + struct.pack("<2L", zlib.crc32(raw), len(raw))


def named_series(volume: Path, **elements: object) -> bytes:
    """A DICOM series with names in elements, in nested sequences, in the archive's names and its comment."""
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(volumes.dicom_series(volume, patient_id=name("PatientID")[:16]))) as plain,
        zipfile.ZipFile(out, "w") as named,
    ):
        for n, entry in enumerate(plain.infolist()):
            if n >= 8:  # rewriting all of them would take half a minute
                named.writestr(f"{name('folder')}/{name('file')}{entry.filename}", plain.read(entry))
                continue
            data = pydicom.dcmread(io.BytesIO(plain.read(entry)))
            plant(data)
            for keyword, value in elements.items():
                setattr(data, keyword, value)
            written = io.BytesIO()
            data.save_as(written)
            named.writestr(f"{name('folder')}/{name('file')}{entry.filename}", written.getvalue())
        named.comment = name("zipcomment").encode()
    return out.getvalue()


def plant(data: Dataset) -> None:
    """Names where scanners write them."""
    for keyword in (
        "PatientName", "PatientID", "PatientComments", "InstitutionName", "ReferringPhysicianName",
        "OperatorsName", "StudyDescription", "SeriesDescription", "ProtocolName", "SequenceName",
        "StationName", "AccessionNumber", "ImageComments",
    ):  # fmt: skip
        setattr(data, keyword, name(keyword)[:16])
    inner, outer = Dataset(), Dataset()
    inner.PatientName = name("nested")
    outer.OtherPatientIDsSequence = [inner]
    data.RequestAttributesSequence = [outer]
    data.private_block(0x0011, name("creator"), create=True).add_new(1, "LO", name("private"))


def kept(stack: LocalSystem) -> Iterator[tuple[str, bytes]]:
    """Everything under the system's folder: the append-only file, blobs, logs, metrics, audit log."""
    for path in stack.settings.folder.rglob("*"):
        if path.is_file() and not path.is_socket() and "model_server" not in path.parts[-3:]:
            yield str(path), path.read_bytes()


def unpacked(data: bytes) -> bytes:
    """The data and, when it is gzip, what is inside."""
    return data + (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else b"")


def answers(service: Service, job_id: str) -> Iterator[tuple[str, bytes]]:
    """Everything that can be asked about a job."""
    pictures = ("/slices/16.png", "/overview.png", "/qc.png", "/explanation.nii.gz")
    for path in ("", "/result", "/slices", *pictures):
        answer = service.http.get(f"/v1/jobs/{job_id}{path}")
        head = str(answer.headers).encode()
        yield path, head + unpacked(answer.content)
    for accept in ("application/fhir+json", "application/dicom", "application/pdf"):
        answer = service.http.get(f"/v1/jobs/{job_id}/result", headers={"Accept": accept})
        yield accept, str(answer.headers).encode() + answer.content
    for path in (f"/jobs/{job_id}", "/v1/jobs", "/v1/webhook-deliveries", "/metrics", "/readyz"):
        yield path, service.http.get(path).content


def found(pieces: Iterator[tuple[str, bytes]]) -> list[str]:
    """Where a canary sings, and which."""
    needle = CANARY.lower().encode()
    singing = []
    for where, data in pieces:
        at = data.lower().find(needle)
        if at >= 0:
            singing.append(f"{where}: {data[at : at + 40]!r}")
    return singing


def wait_until_inputs_are_gone(stack: LocalSystem) -> None:
    """The reconciler deletes uploads of ended jobs every two seconds."""
    inputs = stack.settings.folder / "blobs" / "inputs"
    eventually(lambda: not any(path.is_file() for path in inputs.rglob("*")), every=0.2)


def test_no_planted_name_is_kept_or_sent(
    service: Service, stack: LocalSystem, volume: Path, collector: Collector
) -> None:
    wait_until_inputs_are_gone(stack)
    files = {
        "nifti": (named_nifti(volume), "succeeded"),
        "dicom": (named_series(volume), "succeeded"),
        "modality": (named_series(volume, Modality=name("modality")[:16].upper()), "failed"),
        "rows": (named_series(volume, ImageType=[name("type").upper()], Rows=999), "failed"),
        "text": (named_nifti(volume)[:300_000], "refused"),
    }
    with Receiver() as receiver:
        hook = service.http.post("/v1/webhook-endpoints", json={"url": receiver.url}).json()
        try:
            for label, (body, state) in files.items():
                sent = service.send(body, name=f"{name('upload')}-{label}.nii.gz")
                if state == "refused":
                    assert sent.status_code == 422, sent.text
                    assert found(iter([(label, str(sent.headers).encode() + sent.content)])) == []
                    continue
                assert sent.status_code == 202, sent.text
                job = service.finished(sent.json()["id"])
                assert job["state"] == state, (label, job["error"])
                assert found(answers(service, job["id"])) == [], label
                headers, payload = receiver.received.get(timeout=MOST_WAIT_SECONDS)
                assert found(iter([("webhook", str(headers).encode() + payload)])) == []
        finally:
            service.http.delete(f"/v1/webhook-endpoints/{hook['id']}")
    wait_until_inputs_are_gone(stack)
    assert found(kept(stack)) == []
    assert collector.spans
    assert found(("trace", body) for body in collector.bodies) == []


def test_the_search_would_find_a_name(stack: LocalSystem) -> None:
    """A search that cannot fail proves nothing."""
    planted = stack.settings.folder / "blobs" / "planted"
    planted.write_bytes(b"..." + name("here").encode())
    try:
        assert len(found(kept(stack))) == 1
    finally:
        planted.unlink()


def test_erasing_empties_blobs_and_redis(service: Service, stack: LocalSystem, volume: Path) -> None:
    sent = service.send_raw(volumes.nudged(volume, 41))
    job = service.finished(sent.json()["id"])
    digest, job_id = job["content_digest"], job["id"]
    service.http.get(f"/v1/jobs/{job_id}/explanation.nii.gz").raise_for_status()
    assert any(digest in str(path) for path in (stack.settings.folder / "blobs").rglob("*"))
    assert service.http.delete(f"/v1/jobs/{job_id}").status_code == 204
    assert service.http.get(f"/v1/jobs/{job_id}/result").status_code == 410
    assert not any(digest in str(path) for path in (stack.settings.folder / "blobs").rglob("*"))
    again = service.send_raw(volumes.nudged(volume, 41))
    assert again.status_code == 202, "the cached result is gone too"
    service.finished(again.json()["id"])
