"""Repeated requests, waiting answers and event streams."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable

import pytest
import redis
from flask.testing import FlaskClient

from contracts.states import Stage
from gateway.jobs import long_polling
from jobstore import keys
from jobstore.store import JobStore
from runtime.blobs import BlobStore
from tests.integration.gateway.conftest import form, nifti
from tests.integration.gateway.test_jobs import left_behind, problem

pytestmark = pytest.mark.integration
KEY = {"Idempotency-Key": "order-17"}


def test_the_same_key_gives_the_same_job_once(
    http: FlaskClient, redis_client: redis.Redis, blobs: BlobStore
) -> None:
    first, again = (http.post("/v1/jobs", data=form(nifti()), headers=KEY) for _ in range(2))
    assert first.json["id"] == again.json["id"]
    assert (first.status_code, again.status_code) == (202, 202)
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert redis_client.hget(keys.DEPTH, "preprocess") == "1"
    assert len(left_behind(blobs)) == 1
    assert blobs.get(JobStore(redis_client).get(first.json["id"]).text("input_blob")) == nifti()


def test_a_key_used_for_something_else_is_refused(http: FlaskClient, blobs: BlobStore) -> None:
    http.post("/v1/jobs", data=form(nifti()), headers=KEY)
    problem(http.post("/v1/jobs", data=form(nifti(seed=1)), headers=KEY), 422, "request.key_reused")
    problem(
        http.post("/v1/jobs", data=form(nifti(), priority="stat"), headers=KEY), 422, "request.key_reused"
    )
    assert len(left_behind(blobs)) == 1
    for bad in (" ", "x" * 256):
        problem(
            http.post("/v1/jobs", data=form(nifti()), headers={"Idempotency-Key": bad}),
            400,
            "request.bad_value",
        )


def test_a_replayed_key_of_a_finished_job_answers_with_the_result(
    http: FlaskClient, finish: Callable[[str], None]
) -> None:
    job = http.post("/v1/jobs", data=form(nifti()), headers=KEY).json["id"]
    finish(job)
    again = http.post("/v1/jobs", data=form(nifti()), headers=KEY)
    assert (again.status_code, again.json["id"], again.json["state"]) == (200, job, "succeeded")


def test_sent_at_the_same_time_with_one_key_there_is_one_job(app: object, redis_client: redis.Redis) -> None:
    seen: list[str] = []

    def send() -> None:
        with app.test_client() as client:
            seen.append(client.post("/v1/jobs", data=form(nifti()), headers=KEY).json["id"])

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 6
    assert len(set(seen)) == 1
    assert redis_client.zcard(keys.jobs_of_site("here")) == 1


def test_the_key_of_an_erased_job_makes_no_other(http: FlaskClient, blobs: BlobStore) -> None:
    first = http.post("/v1/jobs", data=form(nifti()), headers=KEY).json["id"]
    assert http.delete(f"/v1/jobs/{first}").status_code == 204
    problem(http.post("/v1/jobs", data=form(nifti()), headers=KEY), 410, "job.erased")
    assert left_behind(blobs) == []


def test_prefer_wait_answers_when_the_job_has_ended(
    http: FlaskClient, finish: Callable[[str], None], redis_client: redis.Redis
) -> None:
    def work() -> None:
        while not redis_client.zcard(keys.jobs_of_site("here")):
            time.sleep(0.02)
        finish(redis_client.zrange(keys.jobs_of_site("here"), 0, 0)[0])

    worker = threading.Thread(target=work)
    worker.start()
    answer = http.post("/v1/jobs", data=form(nifti()), headers={"Prefer": "respond-async, wait=20"})
    worker.join()
    assert (answer.status_code, answer.json["state"]) == (200, "succeeded")
    assert answer.headers["Preference-Applied"] == "wait=20"


class Clock:
    """Time that passes only where somebody sleeps."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_prefer_wait_gives_up_in_time(http: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(long_polling, "time", clock)
    assert http.post("/v1/jobs", data=form(nifti()), headers={"Prefer": "wait=1"}).status_code == 202
    assert 0.5 < clock.now <= 1


def events(text: str) -> list[tuple[str, dict[str, object]]]:
    blocks = [dict(row.split(": ", 1) for row in block.splitlines()) for block in text.split("\n\n")]
    return [(one["id"], json.loads(one["data"])) for one in blocks if "data" in one]


def test_a_stream_tells_every_change_and_resumes(
    http: FlaskClient, submitted: str, redis_client: redis.Redis
) -> None:
    job_store, address = JobStore(redis_client), f"/v1/jobs/{submitted}/events"
    answer = http.get(address)
    assert answer.content_type.startswith("text/event-stream")
    read = (piece.decode() for piece in answer.response)
    assert "retry" in next(read)
    ((first, job),) = events(next(read))
    assert job["state"] == "queued"
    job_store.claim(Stage.PREPROCESS, "w")
    ((_, job),) = events(next(read))
    assert job["state"] == "preprocessing"
    job_store.cancel(submitted)
    ((last, job),) = events(next(read))
    assert job["state"] == "canceled"
    assert next(read, None) is None
    answer.close()
    told = events(http.get(address, headers={"Last-Event-ID": first}).text)
    assert [job["state"] for _, job in told] == ["canceled"]
    assert http.get(address, headers={"Last-Event-ID": last}).status_code == 204


def test_a_stream_of_nothing(http: FlaskClient) -> None:
    problem(http.get("/v1/jobs/job_1/events"), 404, "job.not_found")
