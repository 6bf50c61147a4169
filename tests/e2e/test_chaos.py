"""The promise itself: every fault of bench.chaos at its quick size, and the books must agree."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.e2e


def test_nothing_accepted_is_lost_under_any_fault(capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-m", "bench.chaos", "--quick", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3600, check=False)
    with capsys.disabled():
        sys.stdout.write(f"\n{done.stdout}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "lost=0 wrong=0 duplicated=0 unannounced=0" in done.stdout
