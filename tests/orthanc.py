"""A real PACS for the tests: Debian's Orthanc with its DICOMweb plugin, on free ports."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.conftest import free_port
from tests.debian import program

USER, PASSWORD = "pacs", "only for tests"
_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


@dataclass(frozen=True)
class Orthanc:
    """A running PACS; `rest` is its own API."""

    title: str
    dicom_port: int
    rest: httpx.Client

    @property
    def address(self) -> str:
        """For DIMSE."""
        return f"{self.title}@127.0.0.1:{self.dicom_port}"

    @property
    def web_address(self) -> str:
        """For DICOMweb."""
        return f"{str(self.rest.base_url).removesuffix('/')}/dicom-web"

    def add(self, data: bytes) -> None:
        """Store instances: one, or a zip of them."""
        self.rest.post("/instances", content=data).raise_for_status()

    def series(self, modality: str) -> list[dict[str, Any]]:
        """Every series of that modality as the PACS describes it."""
        found = self.rest.get("/series?expand").raise_for_status().json()
        return [one for one in found if one["MainDicomTags"]["Modality"] == modality]

    def studies(self) -> list[dict[str, Any]]:
        """Every study, with its patient's tags."""
        return list(self.rest.get("/studies?expand").raise_for_status().json())

    def send(self, series: str, modality: str) -> None:
        """C-STORE a series to a modality that the PACS knows."""
        sent = self.rest.post(f"/modalities/{modality}/store", json=[series], timeout=120)
        sent.raise_for_status()

    def files(self, series: str) -> list[bytes]:
        """The series' instances in PS3.10 format."""
        ids = [one["ID"] for one in self.rest.get(f"/series/{series}/instances").raise_for_status().json()]
        return [self.rest.get(f"/instances/{one}/file").raise_for_status().content for one in ids]


@contextmanager
def running_orthanc(
    folder: Path,
    modalities: Mapping[str, tuple[str, int]] | None = None,
    *,
    web: Mapping[str, Mapping[str, object]] | None = None,
) -> Iterator[Orthanc]:
    """Start it, empty. modalities: AE title -> (host, port) of those it may talk to; web: by DICOMweb."""
    binary = program("Orthanc", package="orthanc", extra=("orthanc-dicomweb",))
    http, dicom = free_port(), free_port()
    known = {title: [title, *where] for title, where in (modalities or {}).items()}
    settings = {
        "Name": "test",
        "StorageDirectory": str(folder),
        "IndexDirectory": str(folder),
        "HttpPort": http,
        "DicomPort": dicom,
        "DicomAet": "ORTHANC",
        "DicomCheckCalledAet": True,
        "DicomModalities": known,
        "DicomAlwaysAllowStore": False,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": True,
        "RegisteredUsers": {USER: PASSWORD},
        "Plugins": [str(_PLUGIN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "Servers": dict(web or {})},
    }
    config = folder / "orthanc.json"
    config.write_text(json.dumps(settings))
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen([binary, config], stdout=log, stderr=log) as server,
        httpx.Client(
            base_url=f"http://127.0.0.1:{http}", auth=(USER, PASSWORD), timeout=60, trust_env=False
        ) as rest,
    ):
        try:
            _wait_for(rest, server)
            yield Orthanc("ORTHANC", dicom, rest)
        finally:
            server.kill()  # asked to end, it takes 17 s; nothing of it is kept


def _wait_for(rest: httpx.Client, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and server.poll() is None:
        try:
            rest.get("/system").raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"Orthanc did not start (status {server.poll()})")
