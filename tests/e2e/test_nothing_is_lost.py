"""Processes are killed in the middle of work; what was accepted is finished all the same."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil
import pytest

from deploy.local.reconciler import Reconciler
from deploy.local.supervisor import LocalSystem
from tests.e2e import volumes
from tests.e2e.service import TERMINAL, Service
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e


def children(stack: LocalSystem, name: str) -> list[psutil.Process]:
    """Pool processes of one Celery worker."""
    (item,) = [item for item in stack.remembered() if item.name == name]
    leader = item.process()
    assert leader is not None
    return list(leader.children())


def caught(service: Service, volume: Path, states: set[str], *, first: int) -> str:
    """A job that was seen in one of the states; they are short, so that several may get past."""
    for number in range(first, first + 20):
        job_id = str(service.send_raw(volumes.nudged(volume, number)).json()["id"])
        if service.wait(job_id, states | TERMINAL)["state"] in states:
            return job_id
    raise AssertionError(f"twenty jobs got past {states}")


def test_a_killed_preprocessing_child_costs_only_time(
    stack: LocalSystem, service: Service, volume: Path
) -> None:
    """How much time is measured by `bench.chaos`."""
    job_id = caught(service, volume, {"preprocessing"}, first=100)
    for child in children(stack, "preprocess"):
        child.send_signal(signal.SIGKILL)
    job = service.finished(job_id)
    assert job["state"] == "succeeded", job


def test_a_killed_model_server_worker_costs_only_time(
    stack: LocalSystem, service: Service, volume: Path
) -> None:
    job_id = caught(service, volume, {"queued_infer", "inferring"}, first=130)
    for child in children(stack, "model_server"):
        child.send_signal(signal.SIGKILL)
    assert service.finished(job_id)["state"] == "succeeded"


def test_a_restarted_redis_forgets_nothing(stack: LocalSystem, service: Service, volume: Path) -> None:
    job_id = service.send_raw(volumes.nudged(volume, 9)).json()["id"]
    (item,) = [item for item in stack.remembered() if item.name == "redis"]
    process = item.process()
    assert process is not None
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    refused = service.http.get("/v1/jobs")
    assert refused.status_code == 503
    assert refused.json()["retryable"] is True
    loop = Reconciler(stack)  # as `make up` has one: a Celery worker may end when its broker is away

    def ended() -> bool:
        loop.look()
        answer = service.http.get(f"/v1/jobs/{job_id}")
        return answer.status_code == 200 and answer.json()["state"] in TERMINAL

    eventually(ended, every=0.2)
    assert service.job(job_id)["state"] == "succeeded"
    eventually(lambda: not loop.look() and stack.is_up(), every=0.2)
