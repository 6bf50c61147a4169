"""Traces start after the fork, outlive a recycled child, and cost nothing while they are off."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import redis
from celery import Celery

from contracts.job import Submission, new_job_id
from contracts.states import Stage
from jobstore.store import JobStore
from jobstore.wakeups import wake
from runtime import tracing
from runtime.blobs import BlobStore
from runtime.settings import SettingError
from tests.conftest import free_port
from tests.integration.workers.scene import eventually
from tests.integration.workers.workers_running import OBEDIENT, running
from tests.support.collector import Collector

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]
PARENT = f"00-{'5' * 32}-{'6' * 16}-01"


def submit(job_store: JobStore, blobs: BlobStore, orders: str, *, traceparent: str) -> str:
    job_id = new_job_id()
    blob = blobs.receive(f"inputs/a/{job_id}", [orders.encode()])
    job_store.submit(
        Submission(
            id=job_id, site="a", content_digest=job_id[4:], input_blob=blob.path, size_bytes=1, media="nifti",
            trace_id=traceparent[3:35], traceparent=traceparent,
        )
    )  # fmt: skip
    return job_id


def test_every_span_of_a_recycled_child_arrives(
    redis_client: redis.Redis, celery: Celery, redis_url: str, tmp_path: Path
) -> None:
    """The sender is told to wait for a minute: what arrives was sent at the end of the child."""
    job_store, blobs = JobStore(redis_client), BlobStore(str(tmp_path / "blobs"))
    with Collector() as collector:
        environment = {
            "HIPPOCAMP_REDIS_URL": redis_url,
            "HIPPOCAMP_BLOBS": str(tmp_path / "blobs"),
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": "60000",
        }
        jobs = [submit(job_store, blobs, orders, traceparent=PARENT) for orders in ("level 3", "not a head")]
        submit(job_store, blobs, "level 4", traceparent=PARENT[:-2] + "00")  # its caller keeps no trace
        with running(environment, tmp_path) as workers:
            workers.start(OBEDIENT, "worker", "-Q", "preprocess", "-c", "1", "--max-tasks-per-child=1")
            wake(celery, Stage.PREPROCESS, 3)
            eventually(lambda: job_store.depth(Stage.PREPROCESS) + job_store.running(Stage.PREPROCESS) == 0)
            seen = collector.trace(PARENT[3:35], until=lambda spans: len(spans) >= 6)
    assert sorted(span.name for span in seen) == [
        "level 3", "not a head", "preprocess", "preprocess", "preprocess wait", "preprocess wait",
    ]  # fmt: skip
    stages = {span.about.get("hippocamp.job"): span for span in seen if span.name == "preprocess"}
    assert [stages[job].failed for job in jobs] == [False, True]
    assert {span.parent_id for span in stages.values()} == {PARENT[36:52]}
    assert {span.service for span in seen} == {"preprocess"}
    (step,) = [span for span in seen if span.name == "level 3"]
    assert step.parent_id == stages[jobs[0]].span_id
    about = stages[jobs[1]].about
    assert (about["hippocamp.site"], about["hippocamp.attempt"], about["hippocamp.fence"]) == ("a", 1, 1)


def test_a_receiver_that_is_away_delays_no_job(
    redis_client: redis.Redis, celery: Celery, redis_url: str, tmp_path: Path
) -> None:
    job_store, blobs = JobStore(redis_client), BlobStore(str(tmp_path / "blobs"))
    environment = {
        "HIPPOCAMP_REDIS_URL": redis_url,
        "HIPPOCAMP_BLOBS": str(tmp_path / "blobs"),
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}",
        "OTEL_BSP_SCHEDULE_DELAY": "50",
    }
    for number in range(4):
        submit(job_store, blobs, f"level {number}", traceparent=PARENT)
    with running(environment, tmp_path) as workers:
        worker = workers.start(OBEDIENT, "worker", "-Q", "preprocess", "-c", "1")
        wake(celery, Stage.PREPROCESS, 4)
        eventually(lambda: job_store.depth(Stage.INFER) == 4)
        worker.terminate()
        assert worker.wait(60) == 0


SERVICES = ("gateway.app", "preprocessing_service.service", "workers.app", "jobstore.worker_process")


def test_no_tracer_and_no_sender_is_imported_while_traces_are_off() -> None:
    """(redis-py imports OpenTelemetry's metrics by itself where they are installed.)"""
    unwanted = {"runtime.otlp", "opentelemetry.sdk.trace", "opentelemetry.exporter"}
    script = f"import sys, {', '.join(SERVICES)}; sys.exit(bool({unwanted!r} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False, timeout=60).returncode == 0
    assert not tracing.tracer("gateway").start_span("x").is_recording()


def test_a_wish_for_traces_without_opentelemetry_refuses_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    monkeypatch.setattr(tracing, "find_spec", lambda name: None)
    with pytest.raises(SettingError, match="tracing"):
        tracing.check()
