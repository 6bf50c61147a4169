"""A site sends real scans while Redis hears late, and is heard late or not at all: nothing is lost."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import redis
from flask.testing import FlaskClient

from bench.chaos.relay import Fate, Judge, Relay
from contracts.job import new_job_id
from contracts.states import JobState, Stage
from deploy.local.sample import sample_volume
from gateway.settings import Settings
from jobstore import keys
from jobstore.scripts import Scripts
from jobstore.store import JobStore
from runtime.blobs import BlobStore
from tests.integration.sites.conftest import RAW, Caller
from tests.integration.workers.scene import eventually

pytestmark = pytest.mark.integration

PATIENT = 1.0
"""Seconds that this gateway waits for Redis."""


@pytest.fixture(scope="module")
def scan() -> bytes:
    """A real whole head, 12 MB of its slices unpacked."""
    head = nib.load(sample_volume())
    voxels = np.asarray(head.dataobj)[..., :128].astype(np.int16)
    return nib.Nifti1Image(voxels, head.affine).to_bytes()


@pytest.fixture
def relay(redis_client: redis.Redis) -> Iterator[Relay]:
    """The network between the gateway and Redis, which knows every script: a late call is a real one."""
    Scripts(redis_client).load()
    with Relay(int(redis_client.get_connection_kwargs()["port"])) as relay:
        yield relay


@pytest.fixture
def settings(relay: Relay, tmp_path: Path) -> Settings:
    return Settings(redis_url=relay.url, blobs=str(tmp_path / "blobs"), line_seconds=PATIENT)


@pytest.fixture
def send(http: FlaskClient, north: Caller, scan: bytes) -> Callable[..., object]:
    def post(key: str | None = "study-1", body: bytes = scan) -> object:
        more = {"Idempotency-Key": key} if key else {}
        return http.post("/v1/jobs", data=body, headers=north.headers | more, content_type=RAW)

    return post


def once(script: str, fate: Fate, seconds: float = 0.0) -> Judge:
    """The first call of the script meets this, all else passes."""
    left = [script]

    def judge(name: str, _: bytes) -> tuple[Fate, float]:
        if name in left:
            left.remove(name)
            return fate, seconds
        return Fate.PASS, 0.0

    return judge


def both(*judges: Judge) -> Judge:
    def judge(name: str, request: bytes) -> tuple[Fate, float]:
        found = [one(name, request) for one in judges]
        return next((one for one in found if one[0] is not Fate.PASS), found[0])

    return judge


def stored(blobs: BlobStore) -> set[str]:
    return set(blobs.list_all("inputs"))


def jobs(client: redis.Redis) -> list[str]:
    return client.zrange(keys.jobs_of_site("north"), 0, -1)


def check_whole(client: redis.Redis, blobs: BlobStore, job_id: str, scan: bytes) -> None:
    """The one job of the site holds the scan, and nothing else is stored."""
    assert jobs(client) == [job_id]
    upload = JobStore(client).record(job_id)["input_blob"]
    assert blobs.get(upload) == scan
    assert stored(blobs) == {upload}


def test_a_late_submit_makes_no_job_without_its_volume(
    send: Callable[..., object], relay: Relay, redis_client: redis.Redis, blobs: BlobStore, scan: bytes
) -> None:
    relay.judge = once("submit", Fate.LATE, 3 * PATIENT)
    refused = send()
    assert (refused.status_code, refused.json["code"]) == (503, "unavailable.job_store")
    assert refused.headers["Retry-After"]
    time.sleep(4 * PATIENT)
    assert relay.seen["submit", Fate.LATE] == 1
    assert jobs(redis_client) == [], "its upload was withdrawn before it came"
    assert stored(blobs) == set()
    again = send()
    assert again.status_code == 202
    check_whole(redis_client, blobs, again.json["id"], scan)


def test_a_late_submit_that_nobody_could_withdraw_keeps_its_volume(
    send: Callable[..., object], relay: Relay, redis_client: redis.Redis, blobs: BlobStore, scan: bytes
) -> None:
    """Both the submit and the question what became of it are late: the upload stays, and the job is whole."""
    relay.judge = both(once("submit", Fate.LATE, 3 * PATIENT), once("withdraw", Fate.LATE, 5 * PATIENT))
    assert send().status_code == 503
    eventually(lambda: jobs(redis_client))
    time.sleep(5 * PATIENT)
    again = send()
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (202, "true")
    check_whole(redis_client, blobs, again.json["id"], scan)


def test_a_lost_reply_is_no_refusal(
    send: Callable[..., object], relay: Relay, redis_client: redis.Redis, blobs: BlobStore, scan: bytes
) -> None:
    relay.judge = both(once("submit", Fate.REPLY_LOST), once("submit", Fate.REPLY_LATE, 2 * PATIENT))
    answer = send()
    assert answer.status_code == 202
    check_whole(redis_client, blobs, answer.json["id"], scan)


def test_an_upload_that_is_gone_is_replaced_by_the_repeated_request(
    send: Callable[..., object], redis_client: redis.Redis, blobs: BlobStore, scan: bytes
) -> None:
    first = send().json["id"]
    held = redis_client.get(keys.held_bytes("north"))
    blobs.delete(JobStore(redis_client).record(first)["input_blob"])
    again = send()
    assert (again.status_code, again.json["id"]) == (202, first)
    check_whole(redis_client, blobs, first, scan)
    assert redis_client.get(keys.held_bytes("north")) == held == str(len(scan))
    assert redis_client.smembers(keys.UPLOADS_IN_USE) == stored(blobs)
    (claim,) = JobStore(redis_client).claim(Stage.PREPROCESS, "w")
    assert blobs.get(claim.record["input_blob"]) == scan


def test_an_upload_of_a_job_that_is_worked_on_is_left_alone(
    send: Callable[..., object], redis_client: redis.Redis, blobs: BlobStore
) -> None:
    job_id = send().json["id"]
    (claim,) = JobStore(redis_client).claim(Stage.PREPROCESS, "w")
    blobs.delete(claim.record["input_blob"])
    assert send().json["id"] == job_id
    assert JobStore(redis_client).record(job_id)["input_blob"] == claim.record["input_blob"]
    assert stored(blobs) == set()


def test_a_replacement_whose_answer_is_lost_keeps_the_new_upload(
    send: Callable[..., object], relay: Relay, redis_client: redis.Redis, blobs: BlobStore, scan: bytes
) -> None:
    first = send().json["id"]
    blobs.delete(JobStore(redis_client).record(first)["input_blob"])
    relay.judge = once("replace_upload", Fate.REPLY_LATE, 3 * PATIENT)
    assert send().status_code == 202
    check_whole(redis_client, blobs, first, scan)


@pytest.mark.parametrize("script", ["cancel", "erase"])
@pytest.mark.parametrize("fate", [Fate.LATE, Fate.REPLY_LATE, Fate.REPLY_LOST, Fate.LOST])
def test_what_was_answered_503_may_be_done_and_is_done_once(
    http: FlaskClient, north: Caller, send: Callable[..., object], relay: Relay,
    redis_client: redis.Redis, blobs: BlobStore, script: str, fate: Fate,
) -> None:  # fmt: skip
    """A cancel or an erasure whose answer is late is repeated, and the end is the same."""
    job_id = send().json["id"]
    way = {"cancel": ("POST", f"/v1/jobs/{job_id}/cancel"), "erase": ("DELETE", f"/v1/jobs/{job_id}")}[script]
    relay.judge = once(script, fate, 3 * PATIENT)
    first = http.open(way[1], method=way[0], headers=north.headers)
    assert first.status_code in {200, 204, 503}
    time.sleep(4 * PATIENT)
    again = http.open(way[1], method=way[0], headers=north.headers)
    assert again.status_code == (200 if script == "cancel" else 410)
    counts = {state: int(n) for state, n in redis_client.hgetall(keys.count("north")).items() if int(n)}
    assert counts == ({"canceled": 1} if script == "cancel" else {})
    assert redis_client.get(keys.held_bytes("north")) == "0"
    assert redis_client.smembers(keys.UPLOADS_IN_USE) == set()


def test_an_endpoint_is_added_once_however_often_the_call_is_repeated(
    http: FlaskClient, north: Caller, relay: Relay, redis_client: redis.Redis
) -> None:
    """Two endpoints with one address would be told of every job twice."""
    hook = {"url": "https://pacs.example/hook"}

    def add(url: dict[str, str] = hook) -> object:
        return http.post(
            "/v1/webhook-endpoints", json=url, headers=north.headers | {"Idempotency-Key": "pacs"}
        )

    def late(name: str, request: bytes) -> tuple[Fate, float]:
        is_it = b"\r\nEXEC\r\n" in request and keys.endpoints("").encode() in request
        if is_it and not relay.seen:
            return Fate.LATE, 3 * PATIENT
        return Fate.PASS, 0.0

    relay.judge = late
    assert add().status_code == 503
    made = add()
    assert made.status_code == 201
    time.sleep(4 * PATIENT)
    again = add()
    assert (again.json["id"], again.json["secret"]) == (made.json["id"], made.json["secret"])
    assert redis_client.hlen(keys.endpoints("north")) == 1
    assert add({"url": "https://other.example/hook"}).json["code"] == "request.key_reused"


def test_an_upload_that_lies_for_long_is_withdrawn_before_it_is_deleted(
    send: Callable[..., object], settings: Settings, redis_client: redis.Redis, blobs: BlobStore
) -> None:
    """Whatever the clocks say: a record that comes too late is refused, and its sender told to repeat it."""
    from workers.context import WorkerContext
    from workers.maintenance import maintain, orphaned_uploads
    from workers.settings import Settings as WorkerSettings

    url = f"redis://127.0.0.1:{redis_client.get_connection_kwargs()['port']}/0"
    place = WorkerContext(WorkerSettings(redis_url=url, blobs=settings.blobs), app=None)  # type: ignore[arg-type]
    job_id = send().json["id"]
    needed = JobStore(redis_client).record(job_id)["input_blob"]
    late, part = f"inputs/north/{new_job_id()}", "inputs/north/broken-off.part"
    for path in (late, part):
        blobs.put(path, b"x")
        os.utime(Path(settings.blobs) / path, (0, 0))  # a clock that steps, a machine that slept

    def look_in(round_number: int) -> int:
        redis_client.set(keys.ORPHAN_ROUNDS, round_number - 1)
        return orphaned_uploads.collect(place)

    assert [look_in(n) for n in (299, 300, 301, 600, 1800, 2099)] == [0] * 6
    assert stored(blobs) == {needed, late, part}, "two looks, 1,800 rounds apart, and not a clock"
    assert look_in(2100) == 2
    maintain.delete_pending(place)
    assert stored(blobs) == {needed}
    record = replace(_submission(redis_client, job_id), id=new_job_id(), input_blob=late)
    with pytest.raises(Exception, match="send it again"):
        JobStore(redis_client).submit(record)
    assert jobs(redis_client) == [job_id]
    assert look_in(2400) == 0
    assert redis_client.zcard(keys.ORPHANED_UPLOADS) == 0
    place.redis.close()


def test_an_upload_whose_record_came_between_two_looks_is_kept(
    send: Callable[..., object], settings: Settings, redis_client: redis.Redis, blobs: BlobStore, scan: bytes
) -> None:
    job_store = JobStore(redis_client)
    job_id = new_job_id()
    upload = f"inputs/north/{job_id}"
    blobs.put(upload, scan)
    assert job_store.uploads.withdraw_orphans([upload], this_round=300, grace_rounds=1800) == 0
    job_store.submit(replace(_submission(redis_client, send().json["id"]), id=job_id, input_blob=upload))
    assert job_store.uploads.withdraw_orphans([upload], this_round=9000, grace_rounds=1800) == 0
    assert redis_client.zcard(keys.ORPHANED_UPLOADS) == 0
    assert job_store.get(job_id).state is JobState.QUEUED
    assert hashlib.sha256(blobs.get(upload)).digest() == hashlib.sha256(scan).digest()


def _submission(client: redis.Redis, job_id: str) -> object:
    from contracts.job import Submission

    record = JobStore(client).record(job_id)
    return Submission(
        id=job_id, site="north", content_digest=record["content_digest"], media="nifti",
        input_blob=record["input_blob"], size_bytes=int(record["size_bytes"]),
        stored_bytes=int(record["stored_bytes"]),
    )  # fmt: skip
