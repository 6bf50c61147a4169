"""The client tests' gateway whose jobs came from a DICOM series, and a real PACS that holds the series."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from client import Client
from contracts.source import DicomSource
from pacs import Pacs, open_pacs
from tests.integration.client.conftest import (
    Carrier,
    carrier,
    client,
    environment,
    hippocamp,
    hospital,
    nifti,
    settings,
    url,
)
from tests.integration.dicomweb.series import encoded, slices
from tests.integration.gateway.conftest import head
from tests.orthanc import PASSWORD, USER, Orthanc, running_orthanc

__all__ = ["carrier", "client", "environment", "hippocamp", "hospital", "settings", "url"]

SERIES = slices("1.2.3.1", 3)
AUTHORIZATION = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with running_orthanc(tmp_path_factory.mktemp("orthanc"), {"HIPPOCAMP": ("127.0.0.1", 104)}) as server:
        yield server


@pytest.fixture
def orthanc(server: Orthanc) -> Orthanc:
    """Empty."""
    for study in server.studies():
        server.rest.delete(f"/studies/{study['ID']}").raise_for_status()
    return server


@pytest.fixture(params=["dimse", "web"])
def pacs(request: pytest.FixtureRequest, orthanc: Orthanc) -> Pacs:
    """The same PACS by either protocol."""
    address = orthanc.address if request.param == "dimse" else orthanc.web_address
    return open_pacs(address, calling="HIPPOCAMP", authorization=AUTHORIZATION)


@pytest.fixture
def job_id(client: Client, carrier: Carrier) -> str:
    """A succeeded job whose stack remembers the series."""
    source = DicomSource(
        study="1.2.3",
        series="1.2.3.1",
        sop_class=str(SERIES[0].SOPClassUID),
        instances=tuple(str(one.SOPInstanceUID) for one in SERIES),
    )
    carrier.stack = replace(head(), source=source).to_bytes()
    return client.submit(nifti(7)).result(timeout=180).job_id


def hold_the_series(orthanc: Orthanc) -> None:
    for one in SERIES:
        orthanc.add(encoded(one))


def write_series(folder: Path) -> None:
    folder.mkdir()
    for n, one in enumerate(SERIES):
        (folder / f"{n}.dcm").write_bytes(encoded(one))
