"""A disk that fills up: volumes are refused while Redis still has room, and taken again later."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import redis
from flask.testing import FlaskClient

from contracts.errors import DiskNearlyFull
from deploy.local.sample import sample_volume
from gateway.settings import Settings
from jobstore import keys
from jobstore.store import JobStore
from operators.doctor.place_checks import place_checks
from runtime.blobs import BlobStore
from tests.integration.gateway.live import Running, serving
from tests.integration.sites.conftest import RAW, Caller
from tests.small_disks import fill, small_disk

pytestmark = pytest.mark.integration

SIZE = 300
RESERVE = SIZE * (1 << 20) // 10
"""A tenth of the small disk."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", SIZE) as folder:
        yield folder


@pytest.fixture
def settings(redis_url: str, disk: Path) -> Settings:
    return Settings(redis_url=redis_url, blobs=str(disk / "blobs"), redis_folder=str(disk / "redis"))


@pytest.fixture(scope="module")
def scan() -> bytes:
    """A real whole head, 12 MB of its slices unpacked."""
    head = nib.load(sample_volume())
    return nib.Nifti1Image(np.asarray(head.dataobj)[..., :128].astype(np.int16), head.affine).to_bytes()


def send(http: FlaskClient, caller: Caller, scan: bytes) -> object:
    return http.post("/v1/jobs", data=scan, headers=caller.headers, content_type=RAW)


def figure(http: FlaskClient, name: str) -> float:
    line = f'hippocamp_disk_{name}_bytes{{disk="blobs"}} '
    return float(http.get("/metrics").text.partition(line)[2].split("\n")[0])


def test_volumes_are_refused_before_the_disk_is_full(
    http: FlaskClient, north: Caller, scan: bytes, disk: Path, redis_client: redis.Redis
) -> None:
    taken = send(http, north, scan)
    assert taken.status_code == 202
    filler = fill(disk, leave=RESERVE - (2 << 20))
    refused = send(http, north, scan)
    assert (refused.status_code, refused.json["code"]) == (503, "unavailable.disk")
    assert (refused.headers["Retry-After"], refused.json["retryable"]) == ("30", True)
    part = b"--x\r\nContent-Type: application/dicom\r\n\r\nx\r\n--x--"
    stow = {"content_type": 'multipart/related; type="application/dicom"; boundary=x'}
    assert http.post("/dicom-web/studies", data=part, headers=north.headers, **stow).status_code == 503
    assert redis_client.zcard(keys.jobs_of_site("north")) == 1
    assert figure(http, "free") < figure(http, "reserve") == RESERVE < figure(http, "size") / 9
    found = http.get("/readyz?only=disk")
    assert (found.status_code, found.json["dependencies"]["disk"]["ok"]) == (503, False)
    fill(disk, leave=RESERVE // 3)
    assert http.get("/readyz?only=line,blobs,audit").status_code == 200, "what is there can be read"
    assert http.get(f"/v1/jobs/{taken.json['id']}", headers=north.headers).status_code == 200
    filler.unlink()
    assert send(http, north, scan).status_code == 202
    assert http.get("/readyz?only=disk").status_code == 200


def test_uploads_on_their_way_leave_the_last_of_the_disk_to_redis(
    redis_url: str, disk: Path, north: Caller
) -> None:
    """Each had room when it was admitted; together they have not."""
    with serving(redis_url, disk) as live, ThreadPoolExecutor(2) as senders:
        both = threading.Barrier(2)
        sent = [senders.submit(_upload, live, north, megabytes=250, begun=both) for _ in range(2)]
        answers, least = zip(*(one.result() for one in sent), strict=True)
        assert any(b"unavailable.disk" in answer for answer in answers), answers
        assert all(answer.startswith((b"HTTP/1.1 503 ", b"HTTP/1.1 202 ")) for answer in answers)
        assert min(least) > RESERVE // 3


def _upload(live: Running, caller: Caller, *, megabytes: int, begun: threading.Barrier) -> tuple[bytes, int]:
    """The answer to a volume of zeros, which may come early; and the least room that was seen."""
    header = nib.Nifti1Header()
    header.set_data_shape((512, 512, megabytes))
    header.set_data_dtype("float32")
    header["magic"], header["vox_offset"] = b"n+1", 352
    length = 352 + (megabytes << 20)
    head = (
        f"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {caller.text}\r\nContent-Type: {RAW}\r\n"
    )
    least = 1 << 62
    with socket.create_connection(("127.0.0.1", live.port), timeout=60) as wire:
        wire.sendall(f"{head}Content-Length: {length}\r\n\r\n".encode() + header.binaryblock + bytes(4))
        begun.wait(60)
        for _ in range(megabytes):
            if select.select([wire], [], [], 0)[0]:
                break
            wire.sendall(bytes(1 << 20))
            found = os.statvfs(live.blobs.parent)
            least = min(least, found.f_bavail * found.f_frsize)
        return wire.recv(1 << 16), least


def test_workers_leave_the_last_of_the_disk_to_redis(disk: Path) -> None:
    store = BlobStore(str(disk / "blobs"), reserve_bytes=2 << 30)
    filler = fill(disk, leave=RESERVE * 3 // 4)
    store.put("stacks/north/1", b"x" * 1000)
    filler = fill(disk, leave=RESERVE // 3)
    with pytest.raises(DiskNearlyFull):
        store.put("stacks/north/2", b"x")
    assert store.get("stacks/north/1") == b"x" * 1000
    filler.unlink()
    store.put("stacks/north/2", b"x")


def test_no_room_for_files_is_no_room(http: FlaskClient, north: Caller, scan: bytes, disk: Path) -> None:
    """A disk without an inode takes no file, however many bytes are free."""
    subprocess.run(["mount", "-o", "remount,nr_inodes=1200", str(disk)], check=True)
    files = [disk / str(number) for number in range(1100)]
    for file in files:
        file.touch()
    assert send(http, north, scan).json["code"] == "unavailable.disk"
    for file in files:
        file.unlink()
    assert send(http, north, scan).status_code == 202


def test_doctor_says_it_in_time(disk: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIPPOCAMP_BLOBS", settings.blobs)
    monkeypatch.setenv("HIPPOCAMP_REDIS_FOLDER", settings.redis_folder)
    Path(settings.blobs).mkdir()

    def found() -> list[tuple[str, str]]:
        return [(one.verdict, one.found.split(":")[0]) for one in place_checks() if one.what == "disk"]

    assert found() == [("ok", "blobs"), ("ok", "redis")]
    fill(disk, leave=RESERVE * 3 // 2)
    assert found() == [("look", "blobs"), ("look", "redis")]
    fill(disk, leave=RESERVE // 2)
    assert found() == [("BAD", "blobs"), ("BAD", "redis")]


def test_a_job_that_was_taken_waits_for_room_and_loses_no_attempt(
    http: FlaskClient, north: Caller, scan: bytes, disk: Path, settings: Settings, redis_client: redis.Redis
) -> None:
    import preprocessing_service.service as preprocess
    from jobstore.wakeups import celery_app
    from preprocessing_service.settings import Settings as PreprocessSettings
    from tests.integration.workers.scene import PIPELINE, fake_prepare

    def prepare(path: Path, **more: object) -> object:
        orders = disk / "orders"
        orders.write_text("level 3")
        assert path.stat().st_size == len(scan)
        return fake_prepare(orders, **more)

    job_id = send(http, north, scan).json["id"]
    own = PreprocessSettings(redis_url=settings.redis_url, blobs=settings.blobs)
    desk = preprocess.WorkerContext(own, celery_app("test", settings.redis_url), prepare, PIPELINE, name="w")
    job_store = JobStore(redis_client)
    filler = fill(disk, leave=RESERVE // 3)
    preprocess.work_once(desk)
    job = job_store.get(job_id)
    assert (job.state, job.attempt, job.text("last_error")) == ("queued", 0, "unavailable.disk")
    filler.unlink()
    redis_client.zadd(keys.later("preprocess"), {job_id: 1})
    preprocess.work_once(desk)
    assert job_store.get(job_id).state == "queued_infer"
    desk.redis.close()
