"""The real server: it starts on a network only when somebody must show a key."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import redis

from jobstore import sites
from tests.conftest import free_port
from tests.integration.sites.conftest import Caller

pytestmark = [pytest.mark.integration, pytest.mark.isolation]


def start(redis_url: str, folder: Path, bind: str) -> subprocess.Popen[str]:
    """As the containers start it."""
    environment = {
        **os.environ,
        "HIPPOCAMP_REDIS_URL": redis_url,
        "HIPPOCAMP_BLOBS": str(folder / "blobs"),
        "HIPPOCAMP_GATEWAY_WORKERS": "1",
        "HIPPOCAMP_BIND": bind,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "gateway.server"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def test_no_site_no_network(redis_url: str, redis_client: redis.Redis, tmp_path: Path) -> None:
    server = start(redis_url, tmp_path, f"0.0.0.0:{free_port()}")
    said, _ = server.communicate(timeout=120)
    assert server.returncode != 0
    assert "no site is configured" in said


def test_with_a_site_the_network_is_served_to_those_with_a_key(
    redis_url: str, redis_client: redis.Redis, tmp_path: Path, key: Callable[..., Caller]
) -> None:
    north = key("north")
    assert sites.any_configured(redis_client)
    port = free_port()
    server = start(redis_url, tmp_path, f"0.0.0.0:{port}")
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as http:
            ends = time.monotonic() + 180
            while time.monotonic() < ends:
                try:
                    http.get("/livez")
                    break
                except httpx.ConnectError:
                    time.sleep(0.1)
            assert http.get("/v1/jobs").status_code == 401
            answer = http.get("/v1/jobs", headers=north.headers)
            assert answer.status_code == 200
            for header in ("Content-Security-Policy", "X-Content-Type-Options", "Referrer-Policy"):
                assert header in answer.headers
            assert http.get("/livez", headers={"X-Long": "a" * 20_000}).status_code == 431
    finally:
        server.terminate()
        server.communicate(timeout=120)
