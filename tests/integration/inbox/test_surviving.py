"""Gateways that are killed while they collect."""

from __future__ import annotations

import signal

import httpx
import psutil
import pytest
import redis

from jobstore import keys
from tests.integration.gateway.live import Running
from tests.integration.inbox.sending import Sender, images, volume
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration


def test_gateways_killed_in_the_middle_lose_nothing(
    sender: Sender, gateway: Running, redis_client: redis.Redis
) -> None:
    """All processes of the server, which starts others."""
    whole = volume()
    assert images(sender.stow(whole[:12])[0]) == 12
    killed = gateway.process.children()
    for process in killed:
        process.send_signal(signal.SIGKILL)
    psutil.wait_procs(killed, timeout=60)
    eventually(lambda: is_back(sender), every=0.2)
    assert images(sender.stow(whole[12:])[0]) == 8
    assert sender.job()["state"] == "queued"
    assert redis_client.zcard(keys.jobs_of_site("here")) == 1


def is_back(sender: Sender) -> bool:
    try:
        return len(sender.collected()) == 1
    except httpx.TransportError:
        return False
