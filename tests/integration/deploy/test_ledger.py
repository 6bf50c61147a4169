"""Figures agree with a ledger kept by the test, whichever process counted and whichever has ended since."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
import redis
from celery import Celery
from prometheus_client.parser import text_string_to_metric_families

from contracts.states import Stage
from jobstore.store import JobStore
from jobstore.wakeups import wake
from runtime import metrics
from runtime.blobs import BlobStore
from tests.conftest import free_port
from tests.integration.workers.scene import eventually, submit
from tests.integration.workers.workers_running import OBEDIENT, Workers, children, running
from tests.support.processes import descendants

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]


def figures(url: str) -> dict[str, float]:
    """Every sample, its labels in the key."""
    text = httpx.get(url, timeout=60, trust_env=False).raise_for_status().text
    return {
        s.name + str(sorted(s.labels.items())): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }


def total(found: dict[str, float], name: str) -> float:
    return sum(value for key, value in found.items() if key.startswith(f"{name}["))


@dataclass(frozen=True)
class Served:
    url: str
    leader: psutil.Process

    def recycle(self) -> None:
        """Have one of its processes finish what it has and end; another is started in its place."""
        descendants(self.leader, "spawn_main")[0].terminate()


@pytest.fixture
def served(redis_url: str, redis_client: redis.Redis, tmp_path: Path) -> Iterator[Served]:
    """The gateway on three processes."""
    port = free_port()
    folder = tmp_path / "metrics"
    folder.mkdir()
    environment = {
        **os.environ,
        "HIPPOCAMP_REDIS_URL": redis_url,
        "HIPPOCAMP_BLOBS": str(tmp_path / "blobs"),
        "HIPPOCAMP_GATEWAY_WORKERS": "3",
        "HIPPOCAMP_BIND": f"127.0.0.1:{port}",
        "PROMETHEUS_MULTIPROC_DIR": str(folder),
    }
    command = [sys.executable, "-m", "gateway.server"]
    with (tmp_path / "gateway.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            url = f"http://127.0.0.1:{port}"
            eventually(lambda: _answers(f"{url}/livez"))
            yield Served(url, psutil.Process(process.pid))
        finally:
            process.terminate()
            process.wait(60)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=60, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def test_the_server_counts_every_request_once(served: Served, tmp_path: Path) -> None:
    before = figures(f"{served.url}/metrics")
    ledger: Counter[int] = Counter()
    seen = []
    for number in range(150):
        path = "/v1/jobs/job_none" if number % 3 else "/livez"
        ledger[_asked(served.url + path)] += 1
        if number % 50 == 25:
            served.recycle()
        if number % 30 == 0:
            seen.append(total(figures(f"{served.url}/metrics"), "hippocamp_http_requests_total"))
    after = figures(f"{served.url}/metrics")
    assert seen == sorted(seen), "a counter must never go back"
    for status, count in ledger.items():
        told = _requests(after, status) - _requests(before, status)
        assert told == count, f"{status}: {told} in /metrics, {count} sent"
    assert total(after, "hippocamp_refusals_total") == ledger[404]
    pids = {file.stem.rpartition("_")[2] for file in (tmp_path / "metrics").glob("*.db")}
    assert len(pids) > 3, "no process was recycled: the test shows nothing"


def _asked(url: str) -> int:
    """The status; asked again where the connection reached a process just as it was told to stop."""
    try:
        return httpx.get(url, timeout=60, trust_env=False).status_code
    except httpx.RemoteProtocolError:
        return httpx.get(url, timeout=60, trust_env=False).status_code


def _requests(found: dict[str, float], status: int) -> float:
    """Requests but those for /metrics."""
    wanted = [key for key in found if key.startswith("hippocamp_http_requests_total[") and str(status) in key]
    return sum(found[key] for key in wanted if "/metrics" not in key)


@pytest.fixture
def pool(redis_url: str, redis_client: redis.Redis, tmp_path: Path) -> Iterator[tuple[Workers, int]]:
    """Settings for a real prefork pool of the preprocess stage, and the port of its figures."""
    port = free_port()
    (tmp_path / "metrics").mkdir()
    environment = {
        "HIPPOCAMP_REDIS_URL": redis_url,
        "HIPPOCAMP_BLOBS": str(tmp_path / "blobs"),
        "HIPPOCAMP_METRICS_PORT": str(port),
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "metrics"),
    }
    with running(environment, tmp_path) as workers:
        yield workers, port


def test_a_pool_that_recycles_and_restarts_counts_every_job_once(
    pool: tuple[Workers, int], redis_client: redis.Redis, celery: Celery, tmp_path: Path
) -> None:
    workers, port = pool
    job_store, blobs = JobStore(redis_client), BlobStore(str(tmp_path / "blobs"))
    url = f"http://127.0.0.1:{port}/metrics"
    options = ["-Q", "preprocess", "-c", "2", "--max-tasks-per-child=1"]
    worker = workers.start(OBEDIENT, "worker", *options)

    def send(good: int, bad: int) -> None:
        for number in range(good + bad):
            submit(
                job_store, blobs, f"level {number}" if number < good else "not a head", site=f"s{number % 3}"
            )
        wake(celery, Stage.PREPROCESS, good + bad)
        eventually(lambda: job_store.depth(Stage.PREPROCESS) + job_store.running(Stage.PREPROCESS) == 0)

    send(12, 3)
    eventually(lambda: len(children(worker)) == 2)
    os.kill(children(worker)[0], signal.SIGKILL)
    send(6, 2)
    found = figures(url)
    assert found["hippocamp_preprocess_seconds_count[]"] == 18
    assert total(found, "hippocamp_preprocess_failures_total") == 5
    assert found["hippocamp_preprocess_wait_seconds_count[]"] == 23

    files = list((tmp_path / "metrics").glob("counter_*.db"))
    assert len(files) <= 6, "files of ended children pile up"

    worker.send_signal(signal.SIGTERM)
    worker.wait(60)
    workers.start(OBEDIENT, "worker", *options)
    eventually(lambda: _answers(url))
    send(5, 0)
    assert figures(url)["hippocamp_preprocess_seconds_count[]"] == 23, "the port or the counts were lost"


def test_a_child_forked_during_a_scrape_does_not_keep_its_lock(tmp_path: Path) -> None:
    with metrics._alone_in(tmp_path):
        child = subprocess.Popen(["sleep", "30"], pass_fds=_open_handles(tmp_path / "lock"))
    try:
        with (tmp_path / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        child.kill()
        child.wait()


def _open_handles(file: Path) -> list[int]:
    """This process's handles of a file: what a fork would copy."""
    handles = Path("/proc/self/fd")
    return [int(one.name) for one in handles.iterdir() if one.exists() and one.samefile(file)]
