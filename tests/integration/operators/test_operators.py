"""`top` and `doctor` against the real exporter: every figure they read exists, and bad ones are seen."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import redis

from contracts.job import Submission, new_job_id
from gateway.settings import Settings
from jobstore import heartbeats
from jobstore.store import JobStore
from operators import dashboard
from operators.doctor import checks
from tests.conftest import free_port
from tests.integration.client.conftest import Carrier, Run


@pytest.fixture
def exporter(settings: Settings, environment: dict[str, str]) -> Iterator[str]:
    """The exporter's own process."""
    port = free_port()
    ours = {"HIPPOCAMP_REDIS_URL": settings.redis_url, "HIPPOCAMP_EXPORTER_PORT": str(port)}
    url = f"http://127.0.0.1:{port}/metrics"
    with subprocess.Popen([sys.executable, "-m", "deploy.exporter"], env=environment | ours) as process:
        for _ in range(1800):
            try:
                httpx.get(url, timeout=60, trust_env=False)
                break
            except httpx.TransportError:
                time.sleep(0.1)
        yield url
        process.terminate()


def old_job(client: redis.Redis, *, seconds: int) -> None:
    job_id, now = new_job_id(), int(time.time() * 1000)
    submission = Submission(
        id=job_id, site="far", content_digest="ab", input_blob=f"inputs/{job_id}", size_bytes=1, media="nifti"
    )
    JobStore(client, now_ms=now - seconds * 1000).submit(submission)


def test_every_figure_they_read_is_published(
    exporter: str, carrier: Carrier, redis_client: redis.Redis
) -> None:
    carrier.pause.set()
    old_job(redis_client, seconds=60)
    published = httpx.get(exporter, timeout=60, trust_env=False).text
    read = set()
    for module in (dashboard, checks):
        read |= set(re.findall(r"hippocamp_[a-z_]+", Path(str(module.__file__)).read_text()))
    declared = set(re.findall(r"^# TYPE (hippocamp_\w+)", published, re.MULTILINE))
    assert {name for name in read if not name.endswith("_") and name not in declared} == set()


def test_top_shows_depth_and_sites(
    exporter: str, admin: Run, carrier: Carrier, redis_client: redis.Redis
) -> None:
    carrier.pause.set()
    heartbeats.tell(
        redis_client, lambda now: heartbeats.Pool("host1/5/6", ("preprocess", "infer"), 2, now, now)
    )
    old_job(redis_client, seconds=60)
    shown = admin("top", "--once", "--exporter", exporter)
    assert shown.returncode == 0, shown.stderr
    assert "maintain never" in shown.stdout, "it has no proof, and must have one"
    assert "infer idle" in shown.stdout, "its workers are there, and it has no work"
    (stage,) = [line for line in shown.stdout.splitlines() if line.split()[:1] == ["preprocess"]]
    (site,) = [line for line in shown.stdout.splitlines() if line.split()[:1] == ["far"]]
    waiting, _, later, oldest = stage.split()[1:5]
    assert (waiting, later) == ("1", "0")
    assert int(oldest) >= 60
    assert site.split()[1] == "1"


def test_doctor_sees_a_line_nobody_works_on(
    exporter: str, admin: Run, carrier: Carrier, redis_client: redis.Redis
) -> None:
    carrier.pause.set()
    old_job(redis_client, seconds=1000)
    seen = admin("doctor", "--exporter", exporter, "--json")
    assert seen.returncode == 10
    bad = [line for line in seen.stdout.splitlines() if '"BAD"' in line]
    assert any("start workers of the queue preprocess" in line for line in bad)
    assert any("the oldest waits" in line for line in bad)
    assert any("appendonly yes" in line for line in bad)  # the tests' Redis keeps no log
