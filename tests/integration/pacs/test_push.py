"""Report and overlay arrive in a real PACS, filed under the patient it knows, by DIMSE and by DICOMweb."""

from __future__ import annotations

import io

import pydicom
import pytest

from client import Client
from client.errors import PacsRefused, PacsUnavailable
from client.hooks import Event
from pacs import Pacs, Pusher, open_pacs
from tests.conftest import free_port
from tests.integration.client.conftest import nifti
from tests.integration.dicomweb.series import CANARY
from tests.integration.pacs.conftest import AUTHORIZATION, hold_the_series
from tests.orthanc import Orthanc


def event(job_id: str, kind: str = "job.succeeded") -> Event:
    return Event("whd_1", {"type": kind, "data": {"job_id": job_id}})


def test_they_join_the_patients_study(orthanc: Orthanc, pacs: Pacs, client: Client, job_id: str) -> None:
    hold_the_series(orthanc)
    Pusher(client, pacs).take(event(job_id))
    (study,) = orthanc.studies()
    assert study["PatientMainDicomTags"]["PatientName"] == CANARY
    (report,), (overlay,) = orthanc.series("SR"), orthanc.series("OT")
    for series in (report, overlay):
        (data,) = orthanc.files(series["ID"])
        one = pydicom.dcmread(io.BytesIO(data))
        assert (str(one.PatientName), one.PatientID, one.AccessionNumber) == (CANARY, "CANARY-7", "CANARY-9")
        assert (one.PatientBirthDate, one.StudyDate) == ("19400101", "20261122")


def test_pushing_again_adds_nothing(orthanc: Orthanc, pacs: Pacs, client: Client, job_id: str) -> None:
    hold_the_series(orthanc)
    Pusher(client, pacs).take(event(job_id))
    Pusher(client, pacs).take(event(job_id))  # a restarted process remembers nothing
    assert len(orthanc.series("SR")) == len(orthanc.series("OT")) == 1
    assert len(orthanc.files(orthanc.series("SR")[0]["ID"])) == 1


def test_a_study_that_is_not_there_yet_is_waited_for(
    orthanc: Orthanc, pacs: Pacs, client: Client, job_id: str
) -> None:
    pusher = Pusher(client, pacs)
    with pytest.raises(PacsUnavailable, match="does not hold"):
        pusher.take(event(job_id))
    assert orthanc.studies() == []
    hold_the_series(orthanc)
    pusher.take(event(job_id))
    assert len(orthanc.series("SR")) == 1


def test_other_input_is_stored_only_when_asked_for(orthanc: Orthanc, pacs: Pacs, client: Client) -> None:
    unmatched = client.submit(nifti(8)).result(timeout=180).job_id
    Pusher(client, pacs).take(event(unmatched))
    assert orthanc.studies() == []
    Pusher(client, pacs, unmatched=True).take(event(unmatched))
    assert len(orthanc.studies()) == 1


def test_what_did_not_succeed_or_is_gone_asks_for_nothing(
    orthanc: Orthanc, pacs: Pacs, client: Client, job_id: str
) -> None:
    Pusher(client, pacs).take(event(job_id, "job.failed"))
    client.erase(job_id)
    Pusher(client, pacs).take(event(job_id))
    assert orthanc.studies() == []


# pynetdicom forgets to close the socket of a connection that was refused
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("address", ["NOBODY@127.0.0.1:{port}", "http://127.0.0.1:{port}/dicom-web"])
def test_a_pacs_that_is_away_is_tried_again(client: Client, job_id: str, address: str) -> None:
    away = open_pacs(address.format(port=free_port()), calling="HIPPOCAMP")
    with pytest.raises(PacsUnavailable):
        Pusher(client, away).take(event(job_id))


def test_wrong_credentials_and_titles_are_said(orthanc: Orthanc, client: Client, job_id: str) -> None:
    hold_the_series(orthanc)
    with pytest.raises(PacsRefused, match="credentials"):
        Pusher(client, open_pacs(orthanc.web_address, calling="X")).take(event(job_id))
    other = orthanc.address.replace("ORTHANC", "OTHER")
    with pytest.raises(PacsUnavailable, match="rejects us"):
        Pusher(client, open_pacs(other, calling="HIPPOCAMP", authorization=AUTHORIZATION)).take(event(job_id))


@pytest.mark.parametrize(
    "address", ["", "pacs", "T@host", "T@host:0", "TOO_LONG_A_TITLE_X@host:104", "ftp://x", "http://"]
)
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(ValueError, match="no PACS"):
        open_pacs(address, calling="HIPPOCAMP")
