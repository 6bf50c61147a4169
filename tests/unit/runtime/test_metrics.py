"""Counts of processes that were killed stay in the totals, and their files do not pile up."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from runtime.metrics import adopt_counts, service_registry

ROOT = Path(__file__).parents[3]
COUNTING = """
import os, signal, sys
from pathlib import Path
from prometheus_client import Counter, Gauge, Histogram
from runtime.metrics import adopt_counts

if sys.argv[1] == "adopt":
    adopt_counts(Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]))
Counter("jobs", "Jobs").inc(5)
Histogram("seconds", "Seconds").observe(2)
Gauge("open", "Open now", multiprocess_mode="livesum").set(1)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    return tmp_path


def count_and_die(folder: Path, how: str = "adopt") -> None:
    """A process that counts five jobs and is killed."""
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    command = [sys.executable, "-c", COUNTING, how]
    assert subprocess.run(command, cwd=ROOT, env=environment, check=False, timeout=60).returncode == -9


def samples(registry: CollectorRegistry) -> dict[str, float]:
    return {sample.name: sample.value for family in registry.collect() for sample in family.samples}


def test_killed_processes_stay_in_the_totals_and_leave_one_file_a_kind(folder: Path) -> None:
    for _ in range(4):
        count_and_die(folder)
    found = samples(service_registry())
    assert (found["jobs_total"], found["seconds_count"], found["seconds_sum"]) == (20, 4, 8)
    assert len(list(folder.glob("counter_*.db"))) == len(list(folder.glob("histogram_*.db"))) == 1


def test_the_files_of_the_living_are_left_alone(folder: Path) -> None:
    living = folder / f"counter_{os.getppid()}.db"
    living.touch()
    adopt_counts(folder)
    assert [file.name for file in folder.glob("*.db")] == [living.name]


def test_nobody_adopts_twice(folder: Path) -> None:
    for _ in range(2):
        count_and_die(folder, "leave")
    adopt_counts(folder)
    adopt_counts(folder)
    assert len(list(folder.glob("counter_*.db"))) == 2, "what it has counted itself would be lost"
    assert samples(service_registry())["jobs_total"] == 10


def test_live_gauges_of_ended_processes_go(folder: Path) -> None:
    count_and_die(folder)
    assert "open" not in samples(service_registry())
    assert list(folder.glob("gauge*")) == []
