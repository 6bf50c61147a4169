"""The whole system, started once for this folder, beside any that already runs on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from deploy.local.sample import sample_volume
from deploy.local.settings import LocalSettings
from deploy.local.supervisor import Stack
from tests.e2e.service import Service
from tests.fakes.collector import Collector

LEASE_SECONDS = 5


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    """Receives the traces of the system."""
    with Collector() as collector:
        yield collector


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Stack]:
    """Redis, TorchServe, gateway and workers on free ports; receivers on loopback allowed; traces kept."""
    settings = LocalSettings().beside(
        tmp_path_factory.mktemp("system"),
        HIPPOCAMP_WEBHOOK_ALLOW="127.0.0.0/8",
        HIPPOCAMP_LEASE_SECONDS=str(LEASE_SECONDS),
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_BSP_SCHEDULE_DELAY="200",
    )
    system = Stack(settings)
    system.up()
    try:
        yield system
    finally:
        system.down()


@pytest.fixture
def service(stack: Stack) -> Iterator[Service]:
    """The gateway as a client sees it."""
    with httpx.Client(base_url=stack.settings.gateway_url, timeout=60, trust_env=False) as http:
        yield Service(http)


@pytest.fixture(scope="session")
def volume() -> Path:
    """A real whole head, skull on."""
    return sample_volume()
