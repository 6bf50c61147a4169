"""A volume put straight into the bucket by its signed address, then submitted by name."""

from __future__ import annotations

import gzip
import hashlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from flask.testing import FlaskClient

from bench.chaos.relay import Fate, Relay
from contracts.states import JobState, Stage
from gateway.app import create_app
from gateway.settings import Settings
from gateway.uploads import direct
from jobstore import api_keys, keys, sites
from jobstore.scripts import Scripts
from jobstore.store import JobStore
from runtime.blobs import BlobStore
from tests.integration.gateway.conftest import nifti
from tests.integration.gateway.live import serving
from tests.integration.s3_server import s3_for_us
from tests.integration.workers.scene import eventually
from tests.support.hospital import Hospital
from tests.unit.gateway.test_sanitize import CANARY, FORMATS

pytestmark = pytest.mark.integration
Put = Callable[..., str]


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with s3_for_us():
        yield "s3://hippocamp/uploads"


@pytest.fixture
def store(bucket: str) -> BlobStore:
    return BlobStore(bucket)


@pytest.fixture
def http(settings: Settings, bucket: str, hospital: Hospital) -> FlaskClient:
    """Sends the hospital's key."""
    client = create_app(replace(settings, blobs=bucket, audit=f"{settings.blobs}.audit")).test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = hospital.headers["Authorization"]
    return client


@pytest.fixture
def put(http: FlaskClient) -> Put:
    """Opens an upload of these bytes and sends them, or `sent` in their place; its id."""

    def run(body: bytes, *, sent: bytes | None = None) -> str:
        ticket = opened(http, body)
        answer = httpx.request(
            ticket["method"], ticket["url"], content=body if sent is None else sent,
            headers=ticket["headers"] | {"Content-Length": str(len(body if sent is None else sent))},
        )  # fmt: skip
        assert answer.status_code == 200
        return str(ticket["id"])

    return run


def opened(http: FlaskClient, body: bytes) -> dict[str, Any]:
    about = {"size_bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}
    answer = http.post("/v1/uploads", json=about)
    assert answer.status_code == 201, answer.text
    return dict(answer.json or {})


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json["code"]


def test_a_volume_past_the_gateway_becomes_the_same_job(
    http: FlaskClient, put: Put, redis_client: redis.Redis, store: BlobStore
) -> None:
    body = nifti()
    answer = http.post("/v1/jobs", json={"upload": put(body), "priority": "stat"})
    assert answer.status_code == 202
    job = answer.json
    assert (job["media"], job["size_bytes"], job["priority"]) == ("nifti", len(body), "stat")
    assert job["content_digest"] == hashlib.sha256(body).hexdigest()
    (claim,) = JobStore(redis_client).claim(Stage.PREPROCESS, "w")
    assert store.get(claim.record["input_blob"]) == body


def test_an_upload_belongs_to_one_job_and_a_repeated_call_finds_it(http: FlaskClient, put: Put) -> None:
    upload, key = put(nifti()), {"Idempotency-Key": "study-1"}
    first = http.post("/v1/jobs", json={"upload": upload}, headers=key)
    again = http.post("/v1/jobs", json={"upload": upload}, headers=key)
    assert again.json["id"] == first.json["id"]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert code(http.post("/v1/jobs", json={"upload": upload})) == (409, "upload.used")


def test_a_call_that_was_refused_may_be_made_again(http: FlaskClient, put: Put, store: BlobStore) -> None:
    upload = put(nifti())
    nowhere = {"upload": upload, "batch": "bat_" + "0" * 32}
    assert code(http.post("/v1/jobs", json=nowhere)) == (404, "batch.not_found")
    assert http.post("/v1/jobs", json={"upload": upload}).status_code == 202


@pytest.mark.parametrize(
    ("announced", "sent", "expected"),
    [
        (nifti(), nifti()[:-1], "input.corrupt"),
        (nifti(), nifti()[:-1] + b"\xff", "input.corrupt"),
        (nifti()[:-9], nifti()[:-9], "input.truncated"),
        (b"%PDF-1.7" + b"0" * 1000, None, "input.not_a_volume"),
    ],
    ids=["other size", "other bytes", "cut short", "no volume"],
)
def test_what_arrives_is_checked(
    http: FlaskClient, put: Put, announced: bytes, sent: bytes | None, expected: str
) -> None:
    upload = put(announced, sent=sent)
    answer = http.post("/v1/jobs", json={"upload": upload})
    assert answer.json["code"] == expected
    assert answer.status_code in {415, 422}


def test_nothing_arrived_no_such_upload_and_too_large(
    http: FlaskClient, settings: Settings, redis_client: redis.Redis
) -> None:
    ticket = opened(http, nifti())
    assert code(http.post("/v1/jobs", json={"upload": ticket["id"]})) == (409, "upload.missing")
    assert code(http.post("/v1/jobs", json={"upload": "upl_" + "0" * 32})) == (404, "upload.not_found")
    redis_client.hset(keys.ticket(ticket["id"]), "site", "elsewhere")
    assert code(http.post("/v1/jobs", json={"upload": ticket["id"]})) == (404, "upload.not_found")
    about = {"size_bytes": settings.max_upload_bytes + 1, "sha256": "0" * 64}
    assert code(http.post("/v1/uploads", json=about)) == (413, "input.too_large")
    assert redis_client.ttl(keys.ticket(ticket["id"])) <= direct.TICKET_SECONDS


def test_a_site_has_so_many_open_at_a_time(
    http: FlaskClient, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct, "MOST_OPEN", 1)
    upload = put(nifti())
    about = {"size_bytes": 1, "sha256": "0" * 64}
    assert code(http.post("/v1/uploads", json=about)) == (429, "quota.exceeded")
    assert http.post("/v1/jobs", json={"upload": upload}).status_code == 202
    assert http.post("/v1/uploads", json=about).status_code == 201


def test_a_folder_offers_none(settings: Settings, redis_client: redis.Redis) -> None:
    http = create_app(settings).test_client()
    about = {"size_bytes": 1, "sha256": "0" * 64}
    assert code(http.post("/v1/uploads", json=about)) == (409, "upload.not_offered")


def test_what_no_job_names_is_collected(
    http: FlaskClient, put: Put, store: BlobStore, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workers.context import WorkerContext
    from workers.maintenance import maintain, orphaned_uploads
    from workers.settings import Settings as WorkerSettings

    unused, used = put(nifti()), put(nifti())
    job = http.post("/v1/jobs", json={"upload": used}).json
    url = f"redis://127.0.0.1:{redis_client.get_connection_kwargs()['port']}/0"
    place = WorkerContext(WorkerSettings(redis_url=url, blobs="s3://hippocamp/uploads"), app=None)  # type: ignore[arg-type]
    monkeypatch.setattr(orphaned_uploads, "EVERY_ROUNDS", 1)
    monkeypatch.setattr(orphaned_uploads, "GRACE_ROUNDS", 1)
    assert orphaned_uploads.collect(place) == 0
    assert orphaned_uploads.collect(place) >= 1
    maintain.delete_pending(place)
    assert not store.exists(f"inputs/here/{unused}")
    assert not store.exists(f"inputs/here/{used}"), "what was sent became the job's own, cleaned"
    assert store.exists(JobStore(redis_client).record(job["id"])["input_blob"])
    assert JobStore(redis_client).get(job["id"]).state is JobState.QUEUED
    place.redis.close()


def test_of_an_erased_job_its_ticket_knows_no_more_than_that(
    http: FlaskClient, put: Put, redis_client: redis.Redis
) -> None:
    upload, key = put(nifti()), {"Idempotency-Key": "study-2"}
    job = http.post("/v1/jobs", json={"upload": upload}, headers=key).json
    assert http.delete(f"/v1/jobs/{job['id']}").status_code == 204
    left = redis_client.hgetall(keys.ticket(upload))
    assert left == {"site": "here", "job": job["id"], "sha256": "", "size_bytes": "0"}
    assert code(http.post("/v1/jobs", json={"upload": upload})) == (409, "upload.used")
    assert http.post("/v1/jobs", json={"upload": upload}, headers=key).status_code == 410


@pytest.mark.privacy
@pytest.mark.parametrize("kind", ["nifti.gz", "mgh", "analyze", "dicom"])
def test_what_came_past_the_gateway_names_nobody_once_it_is_a_job(
    kind: str, http: FlaskClient, put: Put, store: BlobStore, job_store: JobStore, redis_client: redis.Redis
) -> None:
    body = FORMATS[kind]()
    upload = put(body)
    assert store.get(f"inputs/here/{upload}") == body
    job = http.post("/v1/jobs", json={"upload": upload, "keep": "age,sex"}).json
    assert job["content_digest"] == hashlib.sha256(body).hexdigest()
    assert (job["patient"] or {}).get("age_years") == (71 if kind == "dicom" else None)
    assert not store.exists(f"inputs/here/{upload}"), "what was sent is deleted"
    for path in store.list_all("inputs"):
        if "/upl_" not in path:  # what other tests sent and never submitted
            assert CANARY[:4] not in store.get(path)
    assert all(CANARY not in (redis_client.dump(name) or b"") for name in redis_client.keys("*"))


def test_two_calls_at_once_make_one_job(
    http: FlaskClient, hospital: Hospital, put: Put, store: BlobStore, job_store: JobStore
) -> None:
    before = set(store.list_all("inputs"))
    upload, key = put(nifti()), hospital.headers | {"Idempotency-Key": "study-3"}

    def call(_: int) -> str:
        answer = http.application.test_client().post("/v1/jobs", json={"upload": upload}, headers=key)
        assert answer.status_code == 202, answer.text
        return str(answer.json["id"])

    with ThreadPoolExecutor(4) as pool:
        (job_id,) = set(pool.map(call, range(4)))
    assert store.get(job_store.record(job_id)["input_blob"]) == nifti()
    assert set(store.list_all("inputs")) - before == {job_store.record(job_id)["input_blob"]}


def test_the_example_of_the_guide_runs(
    bucket: str, redis_url: str, redis_client: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guide = (Path(__file__).parents[3] / "docs" / "reference" / "api.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    (example,) = [block for block in blocks if "/v1/uploads" in block]
    (tmp_path / "head.nii.gz").write_bytes(gzip.compress(nifti()))
    elsewhere = {"HIPPOCAMP_BLOBS": bucket, "HIPPOCAMP_AUDIT": str(tmp_path / "audit")}
    with serving(redis_url, tmp_path, **elsewhere) as gateway:
        command = [sys.executable, "-c", example.replace("http://127.0.0.1:8000", gateway.url)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[1] == "queued"


def test_a_cleaned_upload_is_checked_against_what_is_stored(
    http: FlaskClient, store: BlobStore, job_store: JobStore, tmp_path: Path
) -> None:
    body = FORMATS["nifti.gz"]()
    sent = http.post("/v1/jobs", data=body, content_type="application/octet-stream").json
    assert sent["content_digest"] == hashlib.sha256(body).hexdigest()
    record = job_store.record(sent["id"])
    copy = store.local_copy(record["input_blob"], tmp_path, sha256=record["input_digest"])
    assert copy.stat().st_size == int(record["stored_bytes"])
    assert CANARY not in copy.read_bytes()


def test_a_submit_that_was_lost_leaves_its_ticket_with_its_job(
    http: FlaskClient, put: Put, store: BlobStore, settings: Settings, bucket: str, redis_client: redis.Redis
) -> None:
    """Nobody knows yet whether the job is recorded: the same call finds it, and no other takes the bytes."""
    sites.save(redis_client, sites.Site(name="north"))
    key, _ = api_keys.issue(redis_client, "north", frozenset(api_keys.Scope), now_ms=1)
    http.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {key}"
    body, job_store = nifti(seed=7), JobStore(redis_client)
    upload = put(body)
    Scripts(redis_client).load()
    late = {"submit": Fate.LATE, "withdraw": Fate.LATE}

    def judge(name: str, _: bytes) -> tuple[Fate, float]:
        return late.pop(name, Fate.PASS), 1.2

    with Relay(int(redis_client.get_connection_kwargs()["port"]), judge=judge) as relay:
        behind = replace(settings, redis_url=relay.url, blobs=bucket, audit=f"{settings.blobs}.audit")
        slow = create_app(replace(behind, line_seconds=0.4)).test_client()
        slow.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {key}"
        assert code(slow.post("/v1/jobs", json={"upload": upload})) == (503, "unavailable.job_store")
        eventually(lambda: redis_client.zcard(keys.jobs_of_site("north")) == 1)
    other = http.post("/v1/jobs", json={"upload": upload}, headers={"Idempotency-Key": "another"})
    assert code(other) == (409, "upload.used")
    again = http.post("/v1/jobs", json={"upload": upload})
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (202, "true")
    assert redis_client.zrange(keys.jobs_of_site("north"), 0, -1) == [again.json["id"]]
    assert store.get(job_store.record(again.json["id"])["input_blob"]) == body
