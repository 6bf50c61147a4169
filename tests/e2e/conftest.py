"""The whole system with two hospitals, started once for this folder, beside any that already runs here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.sample import sample_volume
from deploy.local.settings import LocalSettings
from deploy.local.supervisor import LocalSystem
from runtime.redis_connections import connect
from tests.e2e.service import Service
from tests.support.collector import Collector
from tests.support.hospital import Hospital, configure

LEASE_SECONDS = 5


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    """Receives the traces of the system."""
    with Collector() as collector:
        yield collector


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[LocalSystem]:
    """Redis, TorchServe, gateway and workers on free ports; receivers on loopback allowed; traces kept."""
    settings = LocalSettings().beside(
        tmp_path_factory.mktemp("system"),
        HIPPOCAMP_WEBHOOK_ALLOW="127.0.0.0/8",
        HIPPOCAMP_LEASE_SECONDS=str(LEASE_SECONDS),
        HIPPOCAMP_INBOX_QUIET_SECONDS="2",
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_BSP_SCHEDULE_DELAY="200",
    )
    system = LocalSystem(settings)
    system.up()
    try:
        yield system
    finally:
        system.down()


@pytest.fixture(scope="session")
def hospitals(stack: LocalSystem) -> dict[str, Hospital]:
    """Two configured sites with default quotas, by name: nobody is served without a key."""
    client = connect(stack.settings.environment()["HIPPOCAMP_REDIS_URL"])
    found = {name: configure(client, name) for name in ("north", "south")}
    client.close()
    return found


@pytest.fixture(scope="session")
def hospital(hospitals: dict[str, Hospital]) -> Hospital:
    """The one that a test stands for unless it needs two."""
    return hospitals["north"]


@pytest.fixture
def service(stack: LocalSystem, hospital: Hospital) -> Iterator[Service]:
    """The gateway as the hospital's client sees it."""
    with hospital.http(stack.settings.gateway_url) as http:
        yield Service(http)


@pytest.fixture(scope="session")
def volume() -> Path:
    """A real whole head, skull on."""
    return sample_volume()
