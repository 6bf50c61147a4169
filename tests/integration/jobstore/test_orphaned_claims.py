"""Claims of processes that died on this machine, and those that only look like it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

import pytest

from contracts.job import Submission
from contracts.states import JobState, Stage
from jobstore import sites
from jobstore.orphaned_claims import release_orphans
from jobstore.store import JobStore
from jobstore.worker_identity import is_dead, pid_of, place, worker_name

pytestmark = pytest.mark.integration

ASK = "from jobstore.worker_identity import worker_name; print(worker_name(), flush=True); input()"


def waiting(job_store: JobStore) -> str:
    """A job of a configured site."""
    sites.save(job_store.redis, sites.Site(name="north"))
    submission = Submission(
        id="job_1", site="north", content_digest="c", input_blob="inputs/north/1", size_bytes=1, media="nifti"
    )
    job_store.submit(submission)
    return submission.id


def claimed_by(job_store: JobStore, worker: str) -> str:
    job_id = waiting(job_store)
    job_store.claim(Stage.PREPROCESS, worker)
    return job_id


def process() -> tuple[subprocess.Popen[str], str]:
    """One that lives until it reads a line, and its name as a worker."""
    child = subprocess.Popen(
        [sys.executable, "-c", ASK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    return child, child.stdout.readline().strip()


def test_a_dead_process_gives_its_claim_back_counted(job_store: JobStore) -> None:
    child, name = process()
    job_id = claimed_by(job_store, name)
    assert release_orphans(job_store, Stage.PREPROCESS) == []
    child.communicate("\n", timeout=120)
    assert release_orphans(job_store, Stage.PREPROCESS) == [job_id]
    job = job_store.get(job_id)
    assert (job.state, job.attempt, job.text("last_error")) == (JobState.QUEUED, 1, "worker died")


def test_a_zombie_is_dead(job_store: JobStore) -> None:
    child, name = process()
    job_id = claimed_by(job_store, name)
    child.stdin.write("\n")
    child.stdin.flush()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert release_orphans(job_store, Stage.PREPROCESS) == [job_id]
    child.communicate(timeout=60)


def test_a_pid_that_was_given_out_again_is_another_process(job_store: JobStore) -> None:
    own, _, started = worker_name().rpartition(".")
    job_id = claimed_by(job_store, f"{own}.{int(started) - 100}")
    assert release_orphans(job_store, Stage.PREPROCESS) == [job_id]


@pytest.mark.parametrize("part", ["host", "boot", "namespace", "user"])
def test_what_cannot_be_seen_from_here_is_left_alone(job_store: JobStore, part: str) -> None:
    """Above all a machine with the same host name, whose pids mean nothing here: it took jobs to poison."""
    host, _, rest = place().partition("/")
    boot, namespace, user = rest.split("-")
    there = {"host": host, "boot": boot, "namespace": namespace, "user": user} | {part: "1"}
    name = f"{there['host']}/{there['boot']}-{there['namespace']}-{there['user']}/4000001.5"
    assert pid_of(name) == 4000001
    job_id = waiting(job_store)
    for _ in range(5):
        (claim,) = job_store.claim(Stage.PREPROCESS, name, lease_seconds=20)
        assert release_orphans(job_store, Stage.PREPROCESS) == []
        assert job_store.renew(claim)
        job_store.release(claim, "it goes on", counts=False)
    assert job_store.get(job_id).state is JobState.QUEUED
    assert job_store.get(job_id).attempt == 0


def test_the_names_of_an_earlier_revision_are_left_to_their_leases(job_store: JobStore) -> None:
    claimed_by(job_store, f"{socket.gethostname()}/4026531836/4000001")
    assert release_orphans(job_store, Stage.PREPROCESS) == []


@pytest.mark.parametrize("worker", ["this", "w", "", "a/b/c"])
def test_the_living_and_the_nameless_are_left_alone(job_store: JobStore, worker: str) -> None:
    claimed_by(job_store, worker_name() if worker == "this" else worker)
    assert release_orphans(job_store, Stage.PREPROCESS) == []


def test_a_name_stays_for_the_life_of_its_process() -> None:
    first = worker_name()
    time.sleep(0.02)
    assert worker_name() == first
    assert pid_of(first) == os.getpid()
    assert not is_dead(first)
