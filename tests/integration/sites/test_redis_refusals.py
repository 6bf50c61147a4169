"""What a site's key gets, and what workers and `doctor` make of it, when Redis refuses in any of its ways."""

from __future__ import annotations

import logging
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from flask.testing import FlaskClient

from contracts.errors import StoreUnavailable
from contracts.job import Submission, new_job_id
from contracts.states import JobState, Stage
from gateway.app import create_app
from gateway.http.problems import kind_of
from gateway.settings import Settings
from jobstore import api_keys, sites
from jobstore.api_keys import Scope
from jobstore.failure_policy import Outcome, handle_failure
from jobstore.store import JobStore
from operators.doctor.checks import Verdict
from operators.doctor.redis_checks import redis_checks
from runtime.redis_connections import connect
from runtime.redis_failures import failure_of
from tests.integration.dicomweb.series import encoded, slices
from tests.integration.gateway.conftest import nifti
from tests.redis_refusals import REFUSALS, new_server, service_url
from tests.redis_servers import Server

EXPECTED = {
    "full": (503, "unavailable.job_store_full"),
    "unsaved": (503, "unavailable.job_store_disk"),
    "replica": (503, "unavailable.job_store_read_only"),
    "stale replica": (503, "unavailable.job_store_degraded"),
    "alone": (503, "unavailable.job_store_degraded"),
    "busy": (503, "unavailable.job_store_busy"),
    "loading": (503, "unavailable.job_store_loading"),
    "forbidden": (500, "internal.configuration"),
    "unknown user": (500, "internal.configuration"),
    "broken script": (500, "internal"),
    "away": (503, "unavailable.job_store"),
}
RAW = "application/octet-stream"
STOW = 'multipart/related; type="application/dicom"; boundary=B'


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    found = new_server(tmp_path / "redis")
    yield found
    found.kill()


@pytest.fixture
def client(server: Server) -> Iterator[redis.Redis]:
    """With the time limit of a service, but not its retries."""
    found = connect(service_url(server), retries=0)
    yield found
    found.close()


@pytest.fixture
def http(server: Server, tmp_path: Path) -> Iterator[FlaskClient]:
    """Patient: it is a refusal that is waited for, and a Redis that loads looks up twice a second."""
    settings = Settings(redis_url=service_url(server), blobs=str(tmp_path / "blobs"), line_seconds=10)
    app = create_app(settings)
    with app.test_client() as found:
        yield found


def new_key(client: redis.Redis, **about: float) -> dict[str, str]:
    """The header of a key of the site north, which has the default quotas and rate unless told otherwise."""
    sites.save(client, sites.Site(name="north", **about))  # type: ignore[arg-type]
    text, _ = api_keys.issue(client, "north", frozenset(Scope), now_ms=int(time.time() * 1000))
    return {"Authorization": f"Bearer {text}"}


def stow_body() -> bytes:
    parts = [encoded(one) for one in slices("1.2.3.1")]
    return (
        b"".join(b"--B\r\nContent-Type: application/dicom\r\n\r\n" + one + b"\r\n" for one in parts)
        + b"--B--"
    )


def test_every_refusal_has_an_expectation() -> None:
    assert EXPECTED.keys() == REFUSALS.keys()


@pytest.mark.parametrize("rate", [20.0, 0.0], ids=["at the rate limit", "at the record"])
@pytest.mark.parametrize("name", REFUSALS)
def test_each_refusal_of_redis_has_its_status_and_code(
    server: Server,
    client: redis.Redis,
    http: FlaskClient,
    caplog: pytest.LogCaptureFixture,
    name: str,
    rate: float,
) -> None:
    headers = new_key(client, requests_per_second=rate)
    first = http.post("/v1/jobs", data=nifti(), content_type=RAW, headers=headers)
    assert first.status_code == 202, first.text
    status, code = EXPECTED[name]
    with REFUSALS[name](server), caplog.at_level(logging.WARNING):
        for path, data, kind in (("/v1/jobs", nifti(seed=1), RAW), ("/dicom-web/studies", stow_body(), STOW)):
            caplog.clear()
            answer = http.post(path, data=data, content_type=kind, headers=headers)
            problem = answer.json
            assert (answer.status_code, problem["code"]) == (status, code), (path, problem)
            assert problem["retryable"] == (status == 503)
            assert ("Retry-After" in answer.headers) == (status == 503)
            assert "user_script" not in answer.text
            assert any(getattr(one, "code", "") == code for one in caplog.records)


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_is_no_fault_of_the_job(server: Server, client: redis.Redis, name: str) -> None:
    new_key(client)
    job_store = JobStore(client)
    job = submission()
    job_store.submit(job)
    (claim,) = job_store.claim(Stage.PREPROCESS, "here/1/1", lease_seconds=300)
    with REFUSALS[name](server):
        with pytest.raises(redis.RedisError) as caught:
            job_store.submit(submission())
        if name not in {"full", "broken script"}:
            assert handle_failure(job_store, claim, caught.value) is Outcome.LEFT
    client.connection_pool.disconnect()
    assert handle_failure(job_store, claim, caught.value) is Outcome.RETRIED
    kept = job_store.get(job.id)
    assert kept.state is JobState.QUEUED
    assert kept.attempt == (1 if name == "broken script" else 0)


def submission() -> Submission:
    return Submission(
        id=new_job_id(), site="north", content_digest="c", input_blob="b", size_bytes=1, media="m"
    )


@pytest.mark.parametrize("name", [name for name in REFUSALS if name != "broken script"])
def test_doctor_says_what_redis_refuses_and_what_to_do(
    server: Server, client: redis.Redis, name: str
) -> None:
    new_key(client)
    with REFUSALS[name](server):
        found = list(redis_checks(service_url(server)))
    refused = [one for one in found if one.verdict is not Verdict.GOOD and one.what.startswith("redis")]
    assert refused, found
    assert all(one.advice for one in refused)
    if name not in {"forbidden", "unknown user", "away"}:
        assert any(kind_of(EXPECTED[name][1]).title in one.found for one in refused), refused


@contextmanager
def no_more_files() -> Iterator[None]:
    """This process may open nothing more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_gateway_without_file_descriptors_is_503(client: redis.Redis, http: FlaskClient) -> None:
    headers = new_key(client)
    assert http.post("/v1/jobs", data=nifti(), content_type=RAW, headers=headers).status_code == 202
    with no_more_files():
        answer = http.post("/v1/jobs", data=nifti(seed=1), content_type=RAW, headers=headers)
    assert (answer.status_code, answer.json["code"]) == (503, "unavailable.resources"), answer.text
    assert http.post("/v1/jobs", data=nifti(seed=1), content_type=RAW, headers=headers).status_code == 202


def test_a_full_disk_is_the_store_and_any_other_system_error_ours() -> None:
    assert isinstance(failure_of(OSError(28, "No space left on device")), StoreUnavailable)
    assert failure_of(OSError(5, "Input/output error")).code == "internal"
    assert failure_of(KeyError("x")).code == "internal"
