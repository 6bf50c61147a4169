"""The round trip of a hospital: a PACS sends a head, and gets report and overlay back into the study."""

from __future__ import annotations

import base64
import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pydicom
import pytest

from client import Client
from deploy.local.supervisor import LocalSystem
from tests.conftest import free_port
from tests.debian import unpacked
from tests.e2e import volumes
from tests.orthanc import PASSWORD, USER, Orthanc, running_orthanc
from tests.support.hospital import Hospital
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e
HIPPOCAMP = Path(sys.executable).parent / "hippocamp-pacs"
PATIENT = "Canary^Patient"


@contextmanager
def running(stack: LocalSystem, hospital: Hospital, *words: object, ready: str) -> Iterator[None]:
    """A `hippocamp-pacs` process, from its first word to SIGTERM; it must end well."""
    authorization = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    environment = os.environ | {
        **hospital.environment,
        "HIPPOCAMP_URL": stack.settings.gateway_url,
        "HIPPOCAMP_PACS_AUTHORIZATION": authorization,
    }
    command = [HIPPOCAMP, *map(str, words)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while ready not in (line := process.stderr.readline()):
            assert line, f"{words} ended with status {process.wait()}"
        yield
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=120)[1]
    assert process.returncode == 0, said
    assert PATIENT not in said


def check(orthanc: Orthanc, tmp_path: Path) -> None:
    """One study, one patient; both instances pass Debian's validator and name the series they are about."""
    (study,) = orthanc.studies()
    assert study["PatientMainDicomTags"]["PatientName"] == PATIENT
    (images,) = orthanc.series("MR")
    for modality in ("SR", "OT"):
        (series,) = orthanc.series(modality)
        (data,) = orthanc.files(series["ID"])
        file = tmp_path / f"{modality}.dcm"
        file.write_bytes(data)
        validator = unpacked("dciodvfy", package="dicom3tools")
        said = subprocess.run([validator, "-new", file], capture_output=True, text=True, check=False)
        assert [line for line in said.stderr.splitlines() if line.startswith("Error")] == []
    report = pydicom.dcmread(io.BytesIO((tmp_path / "SR.dcm").read_bytes()))
    assert images["MainDicomTags"]["SeriesInstanceUID"] in str(report)


@pytest.mark.parametrize("way", ["dimse", "web"])
def test_a_pacs_sends_a_series_and_gets_the_answer_back(
    stack: LocalSystem, hospital: Hospital, volume: Path, tmp_path: Path, way: str
) -> None:
    senders, dicom, hook = tmp_path / "senders.toml", free_port(), free_port()
    senders.write_text(f'ORTHANC = "{hospital.key}"\n')
    with running_orthanc(tmp_path, {"HIPPOCAMP": ("127.0.0.1", dicom)}) as orthanc:
        orthanc.add(volumes.dicom_series(volume))
        (series,) = orthanc.series("MR")
        goal = orthanc.address if way == "dimse" else orthanc.web_address
        listen = ("listen", senders, "--spool", tmp_path / "spool", "--port", dicom)
        push = ("push", goal, "--port", hook, "--register", f"http://127.0.0.1:{hook}/")
        with (
            running(stack, hospital, *listen, ready="listens"),
            running(stack, hospital, *push, ready="registered"),
        ):
            orthanc.send(series["ID"], "HIPPOCAMP")
            eventually(lambda: orthanc.series("SR") and orthanc.series("OT"), every=0.2)
            with Client(stack.settings.gateway_url, key=hospital.key) as client:
                eventually(lambda: not owed(client), every=0.2)
        check(orthanc, tmp_path)
    assert list((tmp_path / "spool").glob("*/*")) == []


def owed(client: Client) -> list[object]:
    """Deliveries that have not ended."""
    found = client.get("/v1/webhook-deliveries").json()["deliveries"]
    return [one for one in found if one["state"] in {"pending", "delivering"}]
