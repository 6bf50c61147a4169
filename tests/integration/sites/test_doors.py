"""Every door, every size, every standing of a site: the status and the code that its sender gets."""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import fsspec
import httpx
import pydicom
import pytest
import redis
from pynetdicom import AE
from pynetdicom.sop_class import MRImageStorage

from client import Client, RetryPolicy
from client.errors import Unavailable
from pacs.inbox import Spool
from pacs.listener import Listener
from tests.conftest import free_port
from tests.integration.gateway.conftest import nifti
from tests.integration.gateway.live import serving
from tests.integration.s3_server import CREDENTIALS, s3_server
from tests.support.hospital import Hospital, configure
from tests.support.scans import SIZES, Scan, scan

pytestmark = [pytest.mark.integration, pytest.mark.isolation]

TAKEN, FULL = (202, ""), (429, "quota.exceeded")
RAW = {"Content-Type": "application/octet-stream"}


@dataclass(frozen=True)
class Caller:
    """Who stands at a door: the gateway's address, the site's key ("" in open mode), a folder to work in."""

    url: str
    key: str
    folder: Path

    @property
    def http(self) -> httpx.Client:
        return Hospital("", self.key).http(self.url, timeout_seconds=300)


Answer = tuple[int, str]
Door = Callable[[Caller, Scan], Answer]


def heard(answer: httpx.Response) -> Answer:
    found = answer.json()
    return answer.status_code, found.get("code", "") if answer.is_error else ""


def raw_nifti(caller: Caller, sent: Scan) -> Answer:
    with caller.http as http:
        return heard(http.post("/v1/jobs", content=sent.nifti, headers=RAW))


def form_nifti_gz(caller: Caller, sent: Scan) -> Answer:
    with caller.http as http:
        return heard(http.post("/v1/jobs", files={"file": ("head.nii.gz", sent.packed)}))


def form_dicom_zip(caller: Caller, sent: Scan) -> Answer:
    with caller.http as http:
        return heard(http.post("/v1/jobs", files={"file": ("series.zip", sent.archive)}))


def stow(caller: Caller, sent: Scan) -> Answer:
    parts = b"".join(
        b"--B\r\nContent-Type: application/dicom\r\n\r\n" + one + b"\r\n" for one in sent.instances
    )
    kind = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=B'}
    with caller.http as http:
        answer = http.post("/dicom-web/studies", content=parts + b"--B--\r\n", headers=kind)
    status, code = heard(answer)
    return (202 if status == 200 else status), code  # 200 says that every instance was taken


def client_library(caller: Caller, sent: Scan) -> Answer:
    path = caller.folder / "head.nii.gz"
    path.write_bytes(sent.packed)
    with Client(
        caller.url, key=caller.key, retry_policy=RetryPolicy(retries=0), timeout_seconds=300
    ) as client:
        try:
            job = client.submit(path)
        except Unavailable as error:
            return FULL if FULL[1] in str(error) else (503, str(error))
    assert job.id
    return TAKEN


def c_store(caller: Caller, sent: Scan) -> Answer:
    listener = Listener(caller.url, {"SCANNER": caller.key}, Spool(caller.folder / "spool"))
    port = free_port()
    server = listener.start("127.0.0.1", port)
    try:
        scanner = AE(ae_title="SCANNER")
        # a busy disk is no fault
        scanner.acse_timeout = scanner.dimse_timeout = scanner.network_timeout = 300
        scanner.add_requested_context(MRImageStorage)
        association = scanner.associate("127.0.0.1", port)
        for one in sent.instances:
            assert association.send_c_store(pydicom.dcmread(io.BytesIO(one))).Status == 0
        association.release()
    finally:
        server.shutdown()
    reasons: list[str] = []
    heard_by = logging.Handler()
    heard_by.emit = lambda record: reasons.append(getattr(record, "why", record.msg))  # type: ignore[method-assign]
    logging.getLogger("hippocamp.listener").addHandler(heard_by)
    try:
        done = listener.forward()
    finally:
        logging.getLogger("hippocamp.listener").removeHandler(heard_by)
    if done:
        return TAKEN
    assert not listener.spool.is_empty(), "what the gateway does not take now stays on disk"
    assert reasons == ["HTTP 429"]
    return FULL


def direct_upload(caller: Caller, sent: Scan) -> Answer:
    about = {"size_bytes": len(sent.packed), "sha256": hashlib.sha256(sent.packed).hexdigest()}
    with caller.http as http:
        ticket = http.post("/v1/uploads", json=about).raise_for_status().json()
        httpx.request(
            ticket["method"], ticket["url"], content=sent.packed, headers=ticket["headers"], timeout=300
        ).raise_for_status()
        return heard(http.post("/v1/jobs", json={"upload": ticket["id"]}))


DOORS: dict[str, Door] = {
    door.__name__: door
    for door in (raw_nifti, form_nifti_gz, form_dicom_zip, stow, client_library, c_store, direct_upload)
}
STANDINGS = {"open mode": TAKEN, "site": TAKEN, "site at its quota": TAKEN, "site over its quota": FULL}


@pytest.fixture(scope="module")
def gateway(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(redis_url, tmp_path_factory.mktemp("gateway")) as running:
        yield running.url


@pytest.fixture(scope="module")
def gateway_with_bucket(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("bucket")
    with s3_server() as url:
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        environment = CREDENTIALS | {"AWS_ENDPOINT_URL_S3": url, "HIPPOCAMP_AUDIT": str(folder / "audit")}
        with serving(redis_url, folder, HIPPOCAMP_BLOBS="s3://hippocamp/doors", **environment) as running:
            yield running.url


def standing(client: redis.Redis, name: str, url: str) -> str:
    """Bring the site into this standing; its key."""
    if name == "open mode":
        return ""
    quotas = {} if name == "site" else {"most_waiting": 1}
    hospital = configure(client, "north", **quotas)
    if name == "site over its quota":
        with hospital.http(url) as http:
            assert http.post("/v1/jobs", content=nifti(), headers=RAW).status_code == 202
    return hospital.key


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("door", DOORS)
def test_each_door_answers(
    request: pytest.FixtureRequest, redis_client: redis.Redis, tmp_path: Path, door: str, size: str
) -> None:
    """Of a site at its quota the scan takes the last place; over it, no place is left."""
    url = request.getfixturevalue("gateway_with_bucket" if door == "direct_upload" else "gateway")
    found = {}
    for name in STANDINGS:
        redis_client.flushall()
        key = standing(redis_client, name, url)
        folder = tmp_path / name
        folder.mkdir()
        found[name] = DOORS[door](Caller(url, key, folder), scan(size))
    assert found == STANDINGS
