"""The real gateway in two processes, which collects for half a second; a configured site with its key."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from runtime.blobs import BlobStore
from tests.integration.gateway.live import Running, serving
from tests.integration.inbox.sending import Sender
from tests.support.hospital import Hospital, configure

QUICK = {
    "HIPPOCAMP_INBOX_QUIET_SECONDS": "1",
    "HIPPOCAMP_INBOX_LIMIT_SECONDS": "600",
    "HIPPOCAMP_INBOX_KEEP_SECONDS": "600",
    "HIPPOCAMP_LEASE_SECONDS": "1",
}


@pytest.fixture(scope="module")
def gateway(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Shared by the tests of a module, each of which begins with an empty Redis; those of others must not
    have their studies closed by it."""
    with serving(redis_url, tmp_path_factory.mktemp("gateway"), **QUICK) as running:
        yield running


@pytest.fixture
def hospital(redis_client: redis.Redis) -> Hospital:
    """With default quotas."""
    return configure(redis_client, "here")


@pytest.fixture
def sender(gateway: Running, hospital: Hospital) -> Iterator[Sender]:
    with hospital.http(gateway.url) as http:
        yield Sender(http)


@pytest.fixture
def blobs(gateway: Running) -> BlobStore:
    return BlobStore(str(gateway.blobs))
