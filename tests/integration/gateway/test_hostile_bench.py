"""The quick form of bench.hostile_clients: who was served and who failed; how fast is for a quiet machine."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.hostile]

ROWS = {"quiet", "300 silent", "40 slow readers", "40 slow senders", "200 streams", "threads held"}
COLUMNS = ("calls", "p50", "p99", "worst", "health", "failed", "served", "grown", "cores")


def test_another_site_is_served_whatever_the_clients_of_the_first_do() -> None:
    command = [sys.executable, "-m", "bench.hostile_clients", "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    rows = {
        line[:16].strip(): dict(zip(COLUMNS, map(float, line[16:].split()[:9]), strict=True))
        for line in done.stdout.splitlines()
        if line[:16].strip() in ROWS
    }
    assert set(rows) == ROWS, done.stdout
    assert {name: row["failed"] for name, row in rows.items() if row["failed"]} == {}
    assert min(row["calls"] for row in rows.values()) > 0
    assert rows["200 streams"]["served"] == 200
    assert rows["300 silent"]["served"] == 300
    assert max(row["grown"] for row in rows.values()) < 400
