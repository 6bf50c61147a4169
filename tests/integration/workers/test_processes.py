"""Real Celery worker processes that are killed, hung, stopped and cut off from Redis."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.states import JobState, Stage
from jobstore import keys
from jobstore.wakeups import wake
from tests.integration.workers.scene import eventually, submit
from tests.integration.workers.workers_running import OBEDIENT, Workers, children, running
from tests.support.torchserve import FakeTorchServe
from workers.context import WorkerContext
from workers.maintenance import maintain

pytestmark = pytest.mark.integration


@pytest.fixture
def workers(place: WorkerContext, tmp_path: Path, torchserve: FakeTorchServe) -> Iterator[Workers]:
    environment = {
        "HIPPOCAMP_REDIS_URL": place.settings.redis_url,
        "HIPPOCAMP_BLOBS": place.settings.blobs,
        "HIPPOCAMP_MODEL_SERVER": torchserve.url,
        "HIPPOCAMP_LEASE_SECONDS": "5",  # renewed three times as often: a busy machine may be late by seconds
        "HIPPOCAMP_STOP_SECONDS": "1",
        "PYTHONFAULTHANDLER": "1",
    }
    with running(environment, tmp_path) as started:
        yield started


def keep_up(place: WorkerContext, *job_ids: str) -> bool:
    """What beat would do; whether all these jobs are at rest or ready for inference."""
    maintain.reap(place)
    maintain.top_up(place, Stage.PREPROCESS)
    states = [place.job_store.get(job_id).state for job_id in job_ids]
    return all(state.is_terminal or state is JobState.QUEUED_INFER for state in states)


class Held:
    """A job that works until it is released."""

    def __init__(self, place: WorkerContext, gate: Path) -> None:
        self.place, self.gate = place, gate
        self.id = submit(place.job_store, place.blobs, f"hold {gate}")
        wake(place.app, Stage.PREPROCESS)

    def at_work(self) -> bool:
        return self.place.job_store.record(self.id).get("step") == f"hold {self.gate}"

    def release(self) -> None:
        self.gate.touch()


def test_a_child_killed_in_the_middle_loses_nothing(
    place: WorkerContext, workers: Workers, tmp_path: Path
) -> None:
    worker = workers.start(OBEDIENT, "worker", "-Q", "preprocess", "-c", "1")
    held = Held(place, tmp_path / "gate")
    eventually(held.at_work)
    for child in children(worker):
        os.kill(child, signal.SIGKILL)
    held.release()
    eventually(lambda: keep_up(place, held.id))
    assert place.job_store.get(held.id).state is JobState.QUEUED_INFER
    assert place.job_store.record(held.id)["fence"] == "3"


def test_a_dead_letter_ends_after_three_lives_and_takes_no_innocent_along(
    place: WorkerContext, workers: Workers
) -> None:
    workers.start(OBEDIENT, "worker", "-Q", "preprocess", "-c", "2")
    innocent = [submit(place.job_store, place.blobs, f"level {n}\nsleep 0.1") for n in range(10)]
    bad = submit(place.job_store, place.blobs, "die")
    innocent += [submit(place.job_store, place.blobs, f"level {n}\nsleep 0.1") for n in range(10)]
    eventually(lambda: keep_up(place, bad, *innocent))
    assert {place.job_store.get(j).state for j in innocent} == {JobState.QUEUED_INFER}
    job = place.job_store.get(bad)
    assert (job.state, job.text("error_code"), job.attempt) == (JobState.FAILED, "job.dead_lettered", 3)


def test_a_hang_is_killed_and_counted(place: WorkerContext, workers: Workers, tmp_path: Path) -> None:
    workers.environment["HIPPOCAMP_PREPROCESS_SECONDS"] = "8"
    workers.start(OBEDIENT, "worker", "-Q", "preprocess", "-c", "1")
    held = Held(place, tmp_path / "never")
    eventually(held.at_work)
    eventually(lambda: keep_up(place) and place.job_store.get(held.id).attempt >= 2)


def test_sigterm_hands_a_long_job_back_uncounted(
    place: WorkerContext, workers: Workers, tmp_path: Path
) -> None:
    """The job would never end by itself, and its own limit of two minutes would count as an attempt."""
    worker = workers.start(OBEDIENT, "worker", "-Q", "preprocess", "-c", "1")
    held = Held(place, tmp_path / "never")
    eventually(held.at_work)
    worker.terminate()
    worker.wait(60)
    job = place.job_store.get(held.id)
    assert (job.state, job.attempt) == (JobState.QUEUED, 0)
    assert job.text("last_error") == "worker stopped"


def test_sigterm_lets_a_short_job_finish(place: WorkerContext, workers: Workers, tmp_path: Path) -> None:
    workers.environment["HIPPOCAMP_STOP_SECONDS"] = "60"
    worker = workers.start(OBEDIENT, "worker", "-Q", "preprocess", "-c", "1")
    held = Held(place, tmp_path / "gate")
    eventually(held.at_work)
    worker.terminate()
    eventually(lambda: "worker: Warm shutdown" in workers.log())
    held.release()
    worker.wait(60)
    assert place.job_store.get(held.id).state is JobState.QUEUED_INFER
    assert '"event": "job.prepared"' in workers.log()


def test_a_worker_whose_connections_break_goes_on(
    place: WorkerContext, workers: Workers, tmp_path: Path
) -> None:
    """Redis drops every connection of the pool again and again, while wake-ups are on their way."""
    workers.start(OBEDIENT, "worker", "-Q", "preprocess", "-c", "1")
    for number in range(12):
        job_id = submit(place.job_store, place.blobs, f"level {number}\nsleep 0.05")
        wake(place.app, Stage.PREPROCESS)
        time.sleep(0.01 * number)
        place.redis.client_kill_filter(_type="normal", skipme=True)
        eventually(lambda wanted=job_id: keep_up(place, wanted))


def test_no_worker_idles_while_the_line_holds_work(
    place: WorkerContext, workers: Workers, tmp_path: Path
) -> None:
    """Whenever one ends, its worker has the next; each holds one as long as there is one."""
    for _ in range(2):
        workers.start(OBEDIENT, "worker", "-Q", "preprocess", "-c", "1")
    jobs = [Held(place, tmp_path / f"gate{n}") for n in range(6)]
    for ended in range(len(jobs)):
        busy = min(2, len(jobs) - ended)
        eventually(lambda wanted=busy: len(claimed(place, jobs)) == wanted)
        names = {place.job_store.record(job.id)["worker"] for job in claimed(place, jobs)}
        assert len(names) == busy, "one worker each"
        claimed(place, jobs)[0].release()
        eventually(
            lambda wanted=ended + 1: sum(job.gate.exists() and done(place, job) for job in jobs) == wanted
        )


def claimed(place: WorkerContext, jobs: list[Held]) -> list[Held]:
    return [job for job in jobs if place.job_store.get(job.id).state is JobState.PREPROCESSING]


def done(place: WorkerContext, job: Held) -> bool:
    return place.job_store.get(job.id).state is JobState.QUEUED_INFER


def test_the_whole_system_runs_by_itself(place: WorkerContext, workers: Workers, tmp_path: Path) -> None:
    workers.start(OBEDIENT, "worker", "-Q", "preprocess", "-c", "1")
    workers.start("workers.app:app", "worker", "-Q", "infer", "-c", "2")
    workers.start("workers.app:app", "worker", "-Q", "deliver,maintain", "-c", "1")
    workers.start("workers.app:app", "beat", "-s", str(tmp_path / "beat"))
    jobs = [submit(place.job_store, place.blobs, f"level {n}", site=f"site{n % 3}") for n in range(12)]
    eventually(lambda: all(place.job_store.get(j).state is JobState.SUCCEEDED for j in jobs))
    eventually(lambda: place.redis.llen(keys.PENDING_DELETIONS) == 0)
    eventually(lambda: place.redis.exists(keys.health("model_server")))
