"""Claims of processes that died on this machine, and those that only look like it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from contracts.job import Submission
from contracts.line import Line
from contracts.orphans import release_orphans, worker_name
from contracts.states import JobState, Stage

pytestmark = pytest.mark.integration


def claimed_by(line: Line, worker: str) -> str:
    line.submit(
        Submission(
            id="job_1", site="a", content_digest="c", input_blob="inputs/a/1", size_bytes=1, media="nifti"
        )
    )
    line.claim(Stage.PREPROCESS, worker)
    return "job_1"


def dead_pid() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait(60)
    return child.pid


def test_a_dead_process_gives_its_claim_back_counted(line: Line) -> None:
    job_id = claimed_by(line, worker_name().replace(str(os.getpid()), str(dead_pid())))
    assert release_orphans(line, Stage.PREPROCESS) == [job_id]
    job = line.get(job_id)
    assert (job.state, job.attempt, job.text("last_error")) == (JobState.QUEUED, 1, "worker died")


def test_a_zombie_is_dead(line: Line) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    job_id = claimed_by(line, worker_name().replace(str(os.getpid()), str(child.pid)))
    assert release_orphans(line, Stage.PREPROCESS) == [job_id]
    child.wait(60)


@pytest.mark.parametrize("namespace", ["1", str(Path("/proc/self/ns/pid").stat().st_ino)])
def test_other_machines_and_namespaces_are_left_alone(line: Line, namespace: str) -> None:
    host = socket.gethostname() if namespace == "1" else "elsewhere"
    claimed_by(line, f"{host}/{namespace}/{dead_pid()}")
    assert release_orphans(line, Stage.PREPROCESS) == []


@pytest.mark.parametrize("worker", [worker_name(), "w", "", "a/b/c"], ids=["this", "w", "nobody", "other"])
def test_the_living_and_the_nameless_are_left_alone(line: Line, worker: str) -> None:
    claimed_by(line, worker)
    assert release_orphans(line, Stage.PREPROCESS) == []
