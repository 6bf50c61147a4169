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

LEASE_SECONDS = 5


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Redis, TorchServe, gateway and workers on free ports; receivers on loopback allowed."""
    settings = LocalSettings().beside(
        tmp_path_factory.mktemp("system"),
        HIPPOCAMP_WEBHOOK_ALLOW="127.0.0.0/8",
        HIPPOCAMP_LEASE_SECONDS=str(LEASE_SECONDS),
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
