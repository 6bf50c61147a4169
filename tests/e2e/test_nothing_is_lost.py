"""Processes are killed in the middle of work; what was accepted is finished all the same."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import psutil
import pytest

from deploy.local.supervisor import Stack
from tests.e2e import volumes
from tests.e2e.service import Service

pytestmark = pytest.mark.e2e


def children(stack: Stack, name: str) -> list[psutil.Process]:
    """Pool processes of one Celery worker."""
    (item,) = [item for item in stack.remembered() if item.name == name]
    leader = item.process()
    assert leader is not None
    return list(leader.children())


def test_a_killed_preprocessing_child_costs_only_time(stack: Stack, service: Service, volume: Path) -> None:
    job_id = service.send_raw(volumes.nudged(volume, 7)).json()["id"]
    service.wait(job_id, {"preprocessing"})
    for child in children(stack, "preprocess"):
        child.send_signal(signal.SIGKILL)
    started = time.monotonic()
    job = service.finished(job_id, within=60)
    assert job["state"] == "succeeded", job
    assert time.monotonic() - started < 60


def test_a_killed_model_server_worker_costs_only_time(stack: Stack, service: Service, volume: Path) -> None:
    job_id = service.send_raw(volumes.nudged(volume, 8)).json()["id"]
    service.wait(job_id, {"queued_infer", "inferring"})
    for child in children(stack, "model_server"):
        child.send_signal(signal.SIGKILL)
    assert service.finished(job_id, within=120)["state"] == "succeeded"


def test_a_restarted_redis_forgets_nothing(stack: Stack, service: Service, volume: Path) -> None:
    job_id = service.send_raw(volumes.nudged(volume, 9)).json()["id"]
    (item,) = [item for item in stack.remembered() if item.name == "redis"]
    process = item.process()
    assert process is not None
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    refused = service.http.get("/v1/jobs")
    assert refused.status_code == 503
    assert refused.json()["retryable"] is True
    stack.restart("redis")
    deadline = time.monotonic() + 60
    while service.http.get(f"/v1/jobs/{job_id}").status_code != 200 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert service.finished(job_id, within=90)["state"] == "succeeded"
