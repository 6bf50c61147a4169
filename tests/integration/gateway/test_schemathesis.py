"""The live gateway keeps to its own OpenAPI document, whatever schemathesis sends."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import redis

from tests.integration.gateway.conftest import nifti
from tests.integration.gateway.live import Running, serving
from tests.support.hospital import Hospital, configure

pytestmark = pytest.mark.integration

CONFIG = """
hooks = "tests.integration.gateway.schemathesis_hooks"
warnings = false

[dictionaries]
jobs = {{ values = ["{finished}", "{waiting}", "{erased}"] }}
spare = {{ values = ["{spare}"] }}
batches = {{ values = ["{batch}"] }}
endpoints = {{ values = ["{endpoint}"] }}

[parameters]
"path.job_id" = {{ dictionary = "jobs", probability = 0.7 }}
"path.batch_id" = {{ dictionary = "batches", probability = 0.7 }}
"path.endpoint_id" = {{ dictionary = "endpoints", probability = 0.7 }}

[[operations]] # without workers it is not ready, and says so
include-path = "/readyz"
checks.not_a_server_error.expected-statuses = ["2xx", "4xx", 503]

[[operations]] # no random bytes are a volume
include-operation-id = ["jobs_submit", "dicomweb_store", "dicomweb_store_study"]
checks.positive_data_acceptance.enabled = false

[[operations]] # nothing is collected
include-operation-id = ["inbox_jobs", "inbox_close", "inbox_drop"]
checks.positive_data_acceptance.expected-statuses = ["2xx", 404]

[[operations]] # the others still need their jobs
include-operation-id = "erase_erase"
parameters = {{ "path.job_id" = {{ dictionary = "spare", probability = 0.7 }} }}
checks.positive_data_acceptance.expected-statuses = ["2xx", 404, 410]

[[operations]] # one of the jobs is erased
include-path-regex = "job_id"
exclude-method = "DELETE"
checks.positive_data_acceptance.expected-statuses = ["2xx", 404, 409, 410]

[[operations]] # it follows the waiting job for ten minutes
include-operation-id = "events_stream"
parameters = {{ "path.job_id" = {{ dictionary = "spare", probability = 0.7 }} }}
"""


@pytest.fixture
def caller(redis_client: redis.Redis) -> Hospital:
    """Default quotas, but for the rate: nobody waits for seven hundred requests."""
    return configure(redis_client, "here", requests_per_second=0.0)


@pytest.fixture
def gateway(redis_url: str, caller: Hospital, tmp_path: Path) -> Iterator[Running]:
    with serving(redis_url, tmp_path) as running:
        yield running


@pytest.fixture
def ids(gateway: Running, caller: Hospital, finish: Callable[[str], None]) -> dict[str, str]:
    """A job that has its result, one that waits, one that was erased, one to erase; a batch; an endpoint."""
    with caller.http(gateway.url) as http:

        def made(path: str, **sent: object) -> str:
            return str(http.post(path, **sent).raise_for_status().json()["id"])

        batch = made("/v1/batches", json={})
        about = {"Content-Type": "application/octet-stream", "Hippocamp-Batch": batch}
        jobs = {}
        for seed, name in enumerate(["finished", "waiting", "erased", "spare"]):
            jobs[name] = made("/v1/jobs", content=nifti(seed=seed), headers=about)
            if name == "finished":
                finish(jobs[name])
        http.post(f"/v1/jobs/{jobs['spare']}/cancel").raise_for_status()
        http.delete(f"/v1/jobs/{jobs['erased']}").raise_for_status()
        endpoint = made("/v1/webhook-endpoints", json={"url": "https://receiver.example/hook"})
        return jobs | {"batch": batch, "endpoint": endpoint}


UNREACHED = {"/dicom-web/studies", "/dicom-web/studies/<study_uid>", "/dicom-web/studies/<study_uid>/jobs",
    "/dicom-web/studies/<study_uid>/close", "/v1/jobs/<job_id>/cancel",
    "/v1/webhook-deliveries/<delivery_id>/replay"}  # fmt: skip
"""Calls that need DICOM, a job that nobody else ends, or a delivery: their own tests see them succeed."""


def test_every_answer_is_the_documented_one(
    gateway: Running, caller: Hospital, ids: dict[str, str], tmp_path: Path
) -> None:
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG.format(**ids))
    command = [
        Path(sys.executable).with_name("schemathesis"), "--config-file", config,
        "run", f"{gateway.url}/openapi.json", "--phases", "examples,coverage,fuzzing", "--max-examples", "8",
        "--header", f"Authorization: {caller.headers['Authorization']}",
        "--seed", "1", "--request-timeout", "120", "--continue-on-failure", "--no-color",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd()), "NO_PROXY": "127.0.0.1"}
    told = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=1800
    )
    assert told.returncode == 0, told.stdout[-8000:] + told.stderr[-2000:]
    figures = httpx.get(f"{gateway.url}/metrics", timeout=60, trust_env=False).text
    seen = set(re.findall(r'requests_total\{method="(\w+)",route="([^"]+)",status="(\d+)"', figures))
    routes = {route for _, route, _ in seen if route.startswith(("/v1/", "/dicom-web/"))}
    assert routes - {route for _, route, status in seen if status < "300"} - UNREACHED == set()
    assert ("GET", "/v1/jobs/<job_id>/result", "410") in seen
    assert len(routes) >= 18
