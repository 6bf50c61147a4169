"""Submitting, reading, listing, cancelling: against a real Redis."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import redis
from flask.testing import FlaskClient

from contracts.errors import NotAHead
from contracts.job import Submission
from contracts.states import Stage
from gateway.app import create_app
from gateway.settings import Settings
from jobstore import keys
from jobstore.replies import Submitted
from jobstore.store import JobStore
from runtime.blobs import BlobStore
from runtime.whole_file import WholeFile
from tests.hostile.archives import zipped
from tests.hostile.dicom_files import Plan, series
from tests.integration.gateway.conftest import encoded, form, nifti
from tests.support.hospital import configure

pytestmark = pytest.mark.integration

RAW = "application/octet-stream"


def problem(answer: object, status: int, code: str) -> dict[str, object]:
    assert (answer.status_code, answer.json["code"]) == (status, code), answer.text
    assert answer.content_type == "application/problem+json"
    body = dict(answer.json)
    assert body["status"] == status
    assert body["type"] == f"/problems/{code}"
    assert body["trace_id"] == answer.headers["X-Trace-Id"]
    return body


def left_behind(blobs: BlobStore) -> list[str]:
    return [str(p) for p in Path(blobs._root).rglob("*") if p.is_file()]


def test_a_raw_body_becomes_a_durable_job(http: FlaskClient, job_store: JobStore, blobs: BlobStore) -> None:
    data = nifti()
    answer = http.post("/v1/jobs", data=data, content_type=RAW, headers={"Hippocamp-Priority": "stat"})
    assert answer.status_code == 202
    job = answer.json
    assert answer.headers["Location"] == f"/v1/jobs/{job['id']}"
    assert int(answer.headers["Retry-After"]) >= 1
    assert (job["state"], job["priority"], job["cache"], job["media"]) == ("queued", "stat", "miss", "nifti")
    assert job["content_digest"] == hashlib.sha256(data).hexdigest()
    assert job["queue_position"] == 0
    record = job_store.get(job["id"])
    assert blobs.get(record.text("input_blob")) == data
    assert record.text("trace_id") == answer.headers["X-Trace-Id"]


@pytest.mark.parametrize("order", ["before", "after"])
def test_a_form_may_name_its_options_on_either_side_of_the_file(
    http: FlaskClient, job_store: JobStore, order: str
) -> None:
    options, file = {"priority": "bulk", "deadline_seconds": "60"}, form(nifti())
    sent = options | file if order == "before" else file | options
    began = int(1000 * time.time())
    answer = http.post("/v1/jobs", data=sent, content_type="multipart/form-data")
    assert answer.status_code == 202
    assert answer.json["priority"] == "bulk"
    record = job_store.get(answer.json["id"])
    assert began - 1000 < int(record.text("deadline_ms")) - 60_000 <= int(record.text("created_ms"))
    assert "somebody" not in json.dumps(record.fields)


def test_a_wake_up_follows_the_record(http: FlaskClient, submitted: str, redis_client: redis.Redis) -> None:
    assert redis_client.llen("preprocess") == 1
    assert submitted not in str(redis_client.lrange("preprocess", 0, -1))


@pytest.mark.parametrize(
    ("data", "media"),
    [(gzip.compress(nifti()), "nifti.gz"), (series(Plan()), "zip")],
    ids=["nifti.gz", "zip"],
)
def test_containers_are_told_by_their_bytes(http: FlaskClient, data: bytes, media: str) -> None:
    assert http.post("/v1/jobs", data=form(data)).json["media"] == media


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"", 422, "input.empty"),
        (b"\xff\xd8\xff\xe0 a JPEG", 415, "input.not_a_volume"),
        (b"hello" * 1000, 415, "input.not_a_volume"),
        (gzip.compress(b"a text" * 500, mtime=0), 415, "input.not_a_volume"),
        (b"\x1f\x8bnonsense", 422, "input.corrupt"),
        (gzip.compress(nifti())[:-9], 422, "input.truncated"),
        (zipped({"1.dcm": bytes(128) + b"DICM"}), 422, "input.bad_series"),
        (zipped({"a letter": b"..."}), 422, "input.bad_series"),
        (nifti((8, 9, 10, 3)), 422, "input.not_3d"),
        (gzip.compress(nifti((8, 9, 10, 3))), 422, "input.not_3d"),
        (nifti((8, 9)), 422, "input.not_3d"),
        (nifti(dtype="complex64"), 422, "input.bad_voxels"),
        (nifti()[:-1], 422, "input.truncated"),
        (nifti()[:300] + b"\0", 415, "input.not_a_volume"),
        (nifti((80, 80, 90), "float32"), 413, "input.too_large"),
    ],
    ids=lambda v: v if isinstance(v, str) else None,
)
@pytest.mark.parametrize("shape", ["raw", "form"])
def test_bad_input_has_its_own_code_and_leaves_nothing(
    http: FlaskClient,
    blobs: BlobStore,
    redis_client: redis.Redis,
    data: bytes,
    status: int,
    code: str,
    shape: str,
) -> None:
    answer = (
        http.post("/v1/jobs", data=data, content_type=RAW)
        if shape == "raw"
        else http.post("/v1/jobs", **encoded(data))
    )
    assert not problem(answer, status, code)["retryable"]
    assert left_behind(blobs) == []
    assert redis_client.keys(keys.record("*")) == []


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        ({"data": b"{}", "content_type": "text/plain"}, 415, "request.unsupported_media_type"),
        ({"data": b"{}", "content_type": "application/json"}, 400, "request.bad_value"),
        ({"data": b"x", "content_type": "multipart/form-data"}, 400, "request.bad_value"),
        ({"data": b"x", "content_type": "multipart/form-data; boundary=b"}, 400, "request.bad_value"),
        ({"data": {"other": "1"}, "content_type": "multipart/form-data"}, 400, "request.bad_value"),
        ({"data": form(nifti(), priority="urgent")}, 400, "request.bad_value"),
        ({"data": form(nifti(), deadline_seconds="-1")}, 400, "request.bad_value"),
        ({"data": form(nifti(), priority="x" * 5000)}, 400, "request.bad_value"),
    ],
)
def test_bad_requests(
    http: FlaskClient, blobs: BlobStore, request_: dict[str, object], status: int, code: str
) -> None:
    problem(http.post("/v1/jobs", **request_), status, code)
    assert left_behind(blobs) == []


def test_a_known_result_is_answered_at_once(
    http: FlaskClient, finished: str, redis_client: redis.Redis
) -> None:
    answer = http.post("/v1/jobs", data=form(nifti()))
    assert answer.status_code == 200
    again = answer.json
    assert again["id"] != finished
    assert (again["state"], again["cache"]) == ("succeeded", "hit")
    assert redis_client.hget(keys.DEPTH, "preprocess") == "0"
    assert http.get(again["links"]["result"]).json["probabilities"]["cdr1"] == 0.6
    for picture in ("slices/7.png?overlay=cdr1", "overview.png", "explanation.nii.gz"):
        assert http.get(f"/v1/jobs/{again['id']}/{picture}").status_code == 200
    other = http.post("/v1/jobs", data=form(nifti(seed=1)))
    assert (other.status_code, other.json["cache"]) == (202, "miss")


def test_the_size_is_that_of_the_upload_whatever_is_stored(
    http: FlaskClient, job_store: JobStore, finish: Callable[[str], None]
) -> None:
    """As sent for a new scan and for one whose result is known; the quota counts the unpacked bytes."""
    packed = gzip.compress(nifti(), mtime=0)
    first = http.post("/v1/jobs", data=packed, content_type=RAW).json
    assert first["size_bytes"] == len(packed)
    assert int(job_store.get(first["id"]).text("stored_bytes")) == len(nifti()) > len(packed)
    finish(first["id"])
    again = http.post("/v1/jobs", data=packed, content_type=RAW).json
    assert (again["cache"], again["size_bytes"]) == ("hit", len(packed))


def test_another_site_neither_sees_the_job_nor_profits_from_its_result(
    http: FlaskClient, redis_client: redis.Redis, finished: str
) -> None:
    elsewhere = configure(redis_client, "elsewhere").headers
    for path in ("", "/result", "/slices/1.png", "/overview.png", "/explanation.nii.gz", "/slices"):
        problem(http.get(f"/v1/jobs/{finished}{path}", headers=elsewhere), 404, "job.not_found")
    problem(http.post(f"/v1/jobs/{finished}/cancel", headers=elsewhere), 404, "job.not_found")
    assert http.get("/v1/jobs", headers=elsewhere).json["jobs"] == []
    assert http.get(f"/jobs/{finished}", headers=elsewhere).status_code == 404
    assert http.post("/v1/jobs", data=form(nifti()), headers=elsewhere).json["cache"] == "miss"


def test_a_job_is_read_as_it_moves(http: FlaskClient, submitted: str, job_store: JobStore) -> None:
    job_store.now_ms = None
    address = f"/v1/jobs/{submitted}"
    (claim,) = job_store.claim(Stage.PREPROCESS, "w")
    job_store.renew(claim, step="skull_strip")
    job = http.get(address).json
    assert job["progress"] == {"stage": "preprocess", "step": "skull_strip"}
    assert (job["state"], job["attempt"], job["queue_position"]) == ("preprocessing", 1, None)
    problem(http.get(f"{address}/result"), 409, "job.wrong_state")
    problem(http.get(f"{address}/slices/1.png"), 409, "job.wrong_state")
    job_store.fail(claim, NotAHead("brain of 12 mL", volume_ml=12))
    failed = http.get(address).json
    assert failed["error"]["code"] == "quality.not_a_head"
    assert failed["error"]["volume_ml"] == 12
    assert failed["error"]["type"] == "/problems/quality.not_a_head"
    refused = problem(http.get(f"{address}/result"), 409, "job.wrong_state")
    assert refused["error_code"] == "quality.not_a_head"
    problem(http.post(f"{address}/cancel"), 409, "job.wrong_state")


def test_a_finished_job_tells_its_times_and_result(http: FlaskClient, finished: str) -> None:
    job = http.get(f"/v1/jobs/{finished}").json
    assert job["state"] == "succeeded"
    assert None not in job["timings"].values()
    assert None not in job["links"].values()
    result = http.get(job["links"]["result"]).json
    assert result["job_id"] == finished
    assert result["cdr"] == ">=1"
    assert "not a medical device" in result["notice"].lower()


def test_an_unchanged_job_is_304(http: FlaskClient, submitted: str, job_store: JobStore) -> None:
    first = http.get(f"/v1/jobs/{submitted}")
    assert "no-store" in first.headers["Cache-Control"]
    tag = {"If-None-Match": first.headers["ETag"]}
    assert http.get(f"/v1/jobs/{submitted}", headers=tag).status_code == 304
    job_store.cancel(submitted)
    assert http.get(f"/v1/jobs/{submitted}", headers=tag).json["state"] == "canceled"


def test_cancel(http: FlaskClient, submitted: str) -> None:
    for _ in range(2):
        assert http.post(f"/v1/jobs/{submitted}/cancel").json["state"] == "canceled"


def test_the_list_pages_through_everything_once(http: FlaskClient, job_store: JobStore) -> None:
    for n in range(7):  # three of them in the same millisecond
        job_store.now_ms = 1_000_000 + max(0, n - 2)
        ident = f"job_{n:032x}"
        job_store.submit(
            Submission(id=ident, site="here", content_digest="c", input_blob="", size_bytes=1, media="nifti")
        )
    job_store.cancel(f"job_{3:032x}")
    seen, after = [], ""
    while True:
        page = http.get(f"/v1/jobs?limit=2{after}").json
        seen += [job["id"] for job in page["jobs"]]
        if not page["next"]:
            break
        after = f"&after={page['next']}"
    assert seen == [f"job_{n:032x}" for n in (6, 5, 4, 3, 2, 1, 0)]
    only = http.get("/v1/jobs?state=canceled").json
    assert [job["id"] for job in only["jobs"]] == [f"job_{3:032x}"]
    for bad in ("state=done", "after=x", "limit=0", "nonsense=1"):
        problem(http.get(f"/v1/jobs?{bad}"), 400, "request.bad_value")


def test_addresses_and_methods_that_do_not_exist(http: FlaskClient) -> None:
    problem(http.get("/v1/jobs/job_0"), 404, "job.not_found")
    problem(http.get("/v1/nothing"), 404, "request.not_found")
    answer = http.put("/v1/jobs")
    problem(answer, 405, "request.method_not_allowed")
    assert "POST" in answer.headers["Allow"]


def test_a_browser_is_told_on_a_page_and_a_program_in_json(http: FlaskClient) -> None:
    browser = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
    for path in ("/jobs/job_00000000000000000000000000000000", "/<script>alert(1)</script>"):
        page = http.get(path, headers=browser)
        assert (page.status_code, page.mimetype) == (404, "text/html")
        assert "Research use only" in page.text
        assert "<script>alert" not in page.text
        assert http.get(path).mimetype == "application/problem+json"
    assert "job.not_found" in http.get("/jobs/job_00000000000000000000000000000000", headers=browser).text
    assert http.get("/v1/jobs/none", headers=browser).mimetype == "application/problem+json"


def test_backlog(settings: Settings, redis_client: redis.Redis, blobs: BlobStore) -> None:
    app = create_app(Settings(redis_url=settings.redis_url, blobs=settings.blobs, most_waiting=1))
    with app.test_client() as http:
        assert http.post("/v1/jobs", data=form(nifti())).status_code == 202
        answer = http.post("/v1/jobs", data=form(nifti(seed=1)))
        assert problem(answer, 503, "unavailable.backlog")["retryable"]
        assert answer.headers["Retry-After"]
    assert len(left_behind(blobs)) == 1


def test_a_large_volume_is_not_unpacked_for_a_full_line(
    settings: Settings, redis_client: redis.Redis
) -> None:
    """What is wrong inside it is not even seen, unless a place is free."""
    noise = np.random.default_rng(0).integers(0, 30_000, (96, 96, 96), dtype=np.int16)
    packed = bytearray(gzip.compress(nib.Nifti1Image(noise, np.eye(4)).to_bytes(), 1))
    packed[-8:] = bytes(8)  # its checksum
    roomy = replace(settings, most_waiting=1, max_upload_bytes=8 << 20)
    with create_app(roomy).test_client() as http:
        broken = {"data": bytes(packed), "content_type": "application/octet-stream"}
        problem(http.post("/v1/jobs", **broken), 422, "input.corrupt")
        assert http.post("/v1/jobs", data=form(nifti())).status_code == 202
        problem(http.post("/v1/jobs", **broken), 503, "unavailable.backlog")


@pytest.fixture
def deaf() -> Iterator[socket.socket]:
    """It accepts and never answers: a Redis that hangs."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def tries(deaf: socket.socket) -> int:
    """How often somebody has connected since it was asked last."""
    found = []
    with suppress(BlockingIOError):
        while True:
            found.append(deaf.accept()[0])
    for one in found:
        one.close()
    return len(found)


def test_a_dead_or_hanging_redis_is_503_after_one_short_try(tmp_path: Path, deaf: socket.socket) -> None:
    """What a caller waits is the time of one try; that a busy machine adds to it is no property of ours."""
    for port in (1, deaf.getsockname()[1]):
        settings = Settings(redis_url=f"redis://127.0.0.1:{port}/0", blobs=str(tmp_path))
        assert settings.line_seconds <= 1
        with create_app(settings).test_client() as http:
            for method, address in (("POST", "/v1/jobs"), ("GET", "/v1/jobs/job_1")):
                answer = http.open(address, method=method, data=form(nifti()))
                assert problem(answer, 503, "unavailable.job_store")["retryable"]
                assert answer.headers["Retry-After"]
                assert tries(deaf) == (port != 1)
            assert http.get("/livez").status_code == 200
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


class Breaks:
    """Submits, but the answer of the job store is lost on the way."""

    def __init__(self, job_store: JobStore, *, reaches: bool) -> None:
        self.job_store, self.reaches = job_store, reaches

    def __call__(self, submission: Submission, **more: int) -> None:
        if self.reaches:
            JobStore.submit(self.job_store, submission, **more)
        raise redis.ConnectionError("gone")


@pytest.mark.parametrize("reaches", [True, False])
def test_an_answer_lost_after_the_record_does_not_lose_the_upload(
    app: object, http: FlaskClient, blobs: BlobStore, monkeypatch: pytest.MonkeyPatch, reaches: bool
) -> None:
    job_store = app.extensions["hippocamp"].job_store
    monkeypatch.setattr(job_store, "submit", Breaks(job_store, reaches=reaches))
    answer = http.post("/v1/jobs", data=form(nifti()))
    if reaches:
        assert answer.status_code == 202
        assert blobs.get(job_store.get(answer.json["id"]).text("input_blob")) == nifti()
    else:
        problem(answer, 503, "unavailable.job_store")
        assert left_behind(blobs) == []


@pytest.mark.parametrize("headers", [{}, {"Prefer": "wait=5"}], ids=["at once", "waiting"])
def test_a_job_that_was_recorded_is_told_although_redis_goes_away_at_once(
    http: FlaskClient, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str]
) -> None:
    submit = JobStore.submit

    def gone(*_: object, **__: object) -> None:
        raise redis.ConnectionError("gone")

    def last(job_store: JobStore, submission: Submission, **more: int) -> Submitted:
        recorded = submit(job_store, submission, **more)
        monkeypatch.setattr(redis.Redis, "execute_command", gone)
        return recorded

    monkeypatch.setattr(JobStore, "submit", last)
    answer = http.post("/v1/jobs", data=form(nifti()), headers=headers)
    monkeypatch.undo()
    assert (answer.status_code, answer.json["state"], answer.json["queue_position"]) == (202, "queued", None)
    assert redis_client.zrange(keys.jobs_of_site("here"), 0, -1) == [answer.json["id"]]


@pytest.mark.parametrize("how", ["field", "header"])
def test_a_job_can_wait_for_its_time(http: FlaskClient, redis_client: redis.Redis, how: str) -> None:
    job_store = JobStore(redis_client)
    if how == "field":
        job = http.post("/v1/jobs", data=form(nifti(), not_before_seconds="3600")).json
    else:
        headers = {"Hippocamp-Not-Before-Seconds": "3600"}
        job = http.post("/v1/jobs", data=nifti(), content_type=RAW, headers=headers).json
    redis_client.hset(keys.PACE, mapping={"preprocess": 1000})
    assert job_store.claim(Stage.PREPROCESS, "w") == []
    shown = http.get(f"/v1/jobs/{job['id']}").json
    assert shown["state"] == "queued"
    waits = datetime.fromisoformat(shown["not_before_at"]) - datetime.now(UTC)
    assert 3500 < waits.total_seconds() <= 3600
    assert 3500 < shown["eta_seconds"] < 3602
    job_store.now_ms = int(time.time() * 1000) + 3_601_000
    assert [claim.id for claim in job_store.claim(Stage.PREPROCESS, "w")] == [job["id"]]
    assert http.get(f"/v1/jobs/{job['id']}").json["not_before_at"] is None
    problem(http.post("/v1/jobs", data=form(nifti(), not_before_seconds="-1")), 400, "request.bad_value")


def test_an_error_nobody_foresaw_tells_no_secret(
    app: object, http: FlaskClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def explode(*_: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(app.extensions["hippocamp"].job_store, "look", explode)
    answer = http.get("/v1/jobs/job_1")
    assert "secret" not in str(problem(answer, 500, "internal"))
    (told,) = [vars(one) for one in caplog.records if one.getMessage() == "request.failed"]
    assert told["frames"][-1] == told["error"] == "ZeroDivisionError"
    assert any(frame.endswith("explode") for frame in told["frames"])
    assert "secret" not in str(told)


@pytest.mark.parametrize("body", [nifti(), gzip.compress(nifti())], ids=["plain", "packed"])
def test_a_full_disk_is_503_and_leaves_nothing(
    body: bytes, http: FlaskClient, blobs: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(WholeFile, "close", full)
    monkeypatch.setattr("runtime.blobs.take_place", full)
    problem(http.post("/v1/jobs", data=form(body)), 503, "unavailable.blobs")
    assert left_behind(blobs) == []


def test_the_list_is_searched_by_what_ids_begin_with(http: FlaskClient) -> None:
    ids = [http.post("/v1/jobs", data={"file": (io.BytesIO(nifti(seed=n)), "x"), "priority": p}).json["id"]
           for n, p in enumerate(("stat", "bulk", "bulk"))]  # fmt: skip
    digest = http.get(f"/v1/jobs/{ids[1]}").json["content_digest"]
    for asked, found in ((ids[0], [ids[0]]), (ids[0][4:16], [ids[0]]), (digest[:20], [ids[1]]), ("zz", [])):
        assert [job["id"] for job in http.get(f"/v1/jobs?q={asked}").json["jobs"]] == found
    assert {job["id"] for job in http.get("/v1/jobs?priority=bulk").json["jobs"]} == set(ids[1:])
    assert http.get("/v1/jobs?q=%2F..").json["code"] == "request.bad_value"
