"""Scanners and archives by C-STORE, and Debian's Orthanc by STOW-RS as it comes: one job a study."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from pydicom.dataset import FileDataset
from pynetdicom import AE
from pynetdicom.sop_class import MRImageStorage

from jobstore import keys
from pacs.inbox import Spool
from pacs.listener import Listener
from tests.conftest import free_port
from tests.integration.dicomweb.series import encoded
from tests.integration.gateway.live import Running
from tests.integration.inbox.sending import Sender, volume
from tests.orthanc import running_orthanc
from tests.support.hospital import Hospital

pytestmark = pytest.mark.integration


@contextmanager
def listening(url: str, key: str, spool: Path) -> Iterator[tuple[Listener, int]]:
    """The listener with its forwarding thread, on a port."""
    listener, port, stopped = Listener(url, {"SCANNER": key}, Spool(spool)), free_port(), threading.Event()
    server = listener.start("127.0.0.1", port)
    forwarding = threading.Thread(target=listener.run, args=(stopped,))
    forwarding.start()
    try:
        yield listener, port
    finally:
        stopped.set()
        forwarding.join(60)
        server.shutdown()


def store(port: int, instances: Sequence[FileDataset]) -> None:
    """One association, as a scanner that has finished a few images."""
    scanner = AE(ae_title="SCANNER")
    scanner.add_requested_context(MRImageStorage)
    association = scanner.associate("127.0.0.1", port)
    assert {association.send_c_store(one).Status for one in instances} == {0}
    association.release()


def test_a_scanner_that_pauses_gets_one_job(
    sender: Sender, gateway: Running, hospital: Hospital, tmp_path: Path
) -> None:
    """The pause is longer than the quiet time, and the listener is started anew in it."""
    whole = volume(count=40)
    with listening(gateway.url, hospital.key, tmp_path) as (_, port):
        store(port, whole[::2])
        sender.waits_for("slices are missing")
    with listening(gateway.url, hospital.key, tmp_path) as (listener, port):
        time.sleep(1)
        store(port, whole[1::2])
        assert sender.job()["state"] == "queued"
        assert listener.spool.is_empty()


def test_orthanc_sends_in_tens(
    sender: Sender, gateway: Running, hospital: Hospital, redis_client: redis.Redis, tmp_path: Path
) -> None:
    """As versions with `StowMaxInstances` do by themselves; Debian's sends at once what it is told to."""
    server = {"Url": f"{gateway.url}/dicom-web/", "HttpHeaders": hospital.headers}
    with running_orthanc(tmp_path, web={"hippocamp": server}) as orthanc:
        for one in volume(count=45, ContentDate="20261122"):
            orthanc.add(encoded(one))
        (series,) = orthanc.series("MR")
        for at in range(0, 45, 10):
            sent = orthanc.rest.post(
                "/dicom-web/servers/hippocamp/stow",
                json={"Resources": series["Instances"][at : at + 10], "Synchronous": True},
                timeout=120,
            )
            sent.raise_for_status()
        assert sender.job()["state"] == "queued"
    (found,) = sender.collected()
    assert found["instances"] == 45
    (study,) = redis_client.zrange(keys.inbox("studies", "here"), 0, -1)
    assert redis_client.scard(keys.inbox("chunks", study)) == 5
