"""`hippocamp-admin doctor` finds nothing on a good system, and says what to fix on a broken one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deploy.local.supervisor import LocalSystem
from tests.support.hospital import Hospital
from tests.support.waiting import MOST_WAIT_SECONDS

pytestmark = pytest.mark.e2e

HIPPOCAMP = Path(sys.executable).parent / "hippocamp-admin"


def doctor(stack: LocalSystem, hospital: Hospital) -> tuple[int, dict[str, dict[str, str]]]:
    """Its status, and its findings by check; of several of one name the worst."""
    ports = stack.settings.ports
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("HIPPOCAMP_")},
        **hospital.environment,
        "HIPPOCAMP_URL": stack.settings.gateway_url,
        "HIPPOCAMP_EXPORTER_URL": f"http://127.0.0.1:{ports.exporter}/metrics",
        "HIPPOCAMP_REDIS_URL": f"redis://127.0.0.1:{ports.redis}/0",
        "HIPPOCAMP_MODEL_SERVER": f"http://127.0.0.1:{ports.model_server}",
        "HIPPOCAMP_BLOBS": str(stack.settings.folder / "blobs"),
    }
    done = subprocess.run(
        [HIPPOCAMP, "doctor", "--json"], env=environment, capture_output=True, text=True, timeout=120
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    order = ("ok", "skip", "look", "BAD")
    return done.returncode, {
        row["check"]: row for row in sorted(rows, key=lambda row: order.index(row["verdict"]))
    }


def stop(stack: LocalSystem, name: str) -> None:
    (item,) = [item for item in stack.remembered() if item.name == name]
    process = item.process()
    assert process is not None
    process.terminate()
    process.wait(60)


def test_a_good_system_and_a_broken_one(stack: LocalSystem, hospital: Hospital) -> None:
    until_good(stack, hospital)
    stop(stack, "deliver")
    stop(stack, "redis")
    status, found = doctor(stack, hospital)
    assert status == 10
    assert found["line"]["verdict"] == found["redis"]["verdict"] == "BAD"
    assert "HIPPOCAMP_REDIS_URL" in found["redis"]["advice"]
    assert "Is Redis up" in found["line"]["advice"]

    stack.restart("redis")
    status, found = doctor(stack, hospital)
    assert status == 10
    assert found["redis"]["verdict"] == "ok"
    assert found["deliver pools"]["verdict"] == "BAD"
    assert found["deliver pools"]["advice"] == "Start workers of the queue deliver and read their log"
    stack.restart("deliver")
    until_good(stack, hospital)


def until_good(stack: LocalSystem, hospital: Hospital, *, within: float = MOST_WAIT_SECONDS) -> None:
    """Workers tell that they are there within seconds of their start; then there is nothing to fix."""
    ends = time.monotonic() + within
    while True:
        status, found = doctor(stack, hospital)
        if status == 0:
            break
        assert time.monotonic() < ends, [row for row in found.values() if row["verdict"] == "BAD"]
    assert {
        found[f"{queue} pools"]["verdict"] for queue in ("preprocess", "infer", "deliver", "maintain")
    } == {"ok"}
    assert found["redis log"]["verdict"] == found["appendfsync"]["verdict"] == "ok"
    assert (
        found["reconciler"]["verdict"]
        == found["model server"]["verdict"]
        == found["blob folder"]["verdict"]
        == "ok"
    )
