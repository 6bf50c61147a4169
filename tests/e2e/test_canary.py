"""A model server whose workers are gone is noticed within seconds, though nobody submits anything."""

from __future__ import annotations

import json
import time
from pathlib import Path

import httpx
import pytest

from deploy.local.supervisor import LocalSystem
from model_store.release.digest import model_digest
from tests.e2e.service import Service

pytestmark = pytest.mark.e2e

NOTICED_SECONDS = 10
"""A pulse every two seconds, and a busy machine."""


def scale(stack: LocalSystem, workers: int) -> None:
    """As only the services' own user can: by the socket, with the token."""
    folder = stack.settings.folder / "model_server"
    lines = (folder / "config.properties").read_text().splitlines()
    (told,) = [line for line in lines if line.startswith("management_address=unix:")]
    key = json.loads((folder / "key_file.json").read_text())["management"]["key"]
    transport = httpx.HTTPTransport(uds=str(Path(told.partition("unix:")[2])))
    with httpx.Client(transport=transport, timeout=120) as http:
        answer = http.put(
            f"http://torchserve/models/hippocamp/{model_digest()[:12]}",
            params={"min_worker": workers, "max_worker": workers, "synchronous": "true"},
            headers={"Authorization": f"Bearer {key}"},
        )
    assert answer.status_code == 200, answer.text


def until(stack: LocalSystem, *, ok: bool, within: float) -> float:
    """Seconds until /readyz says that the model server is well, or is not."""
    began = time.monotonic()
    while True:
        told = httpx.get(f"{stack.settings.gateway_url}/readyz", timeout=10, trust_env=False).json()
        found = told["dependencies"]["model_server"]
        if found["ok"] is ok:
            return time.monotonic() - began
        assert time.monotonic() - began < within, found
        time.sleep(0.2)


def test_workers_that_are_gone_are_noticed_and_those_that_are_back_too(
    stack: LocalSystem, service: Service
) -> None:
    until(stack, ok=True, within=60)
    scale(stack, 0)
    try:
        noticed = until(stack, ok=False, within=NOTICED_SECONDS)
    finally:
        scale(stack, 1)
    back = until(stack, ok=True, within=60)
    print(f"noticed after {noticed:.1f} s, well again after {back:.1f} s")  # noqa: T201
