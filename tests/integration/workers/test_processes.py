"""Real Celery worker processes that are killed, hung, stopped and cut off from Redis."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.states import JobState, Stage
from contracts.wakeups import wake
from tests.fakes.torchserve import FakeTorchServe
from tests.integration.workers.scene import eventually, submit
from tests.integration.workers.workers_running import OBEDIENT, Workers, children, running
from workers import maintain
from workers.workplace import Workplace

pytestmark = pytest.mark.integration


@pytest.fixture
def workers(place: Workplace, tmp_path: Path, torchserve: FakeTorchServe) -> Iterator[Workers]:
    environment = {
        "HIPPOCAMP_REDIS_URL": place.settings.redis_url,
        "HIPPOCAMP_BLOBS": place.settings.blobs,
        "HIPPOCAMP_MODEL_SERVER": torchserve.url,
        "HIPPOCAMP_LEASE_SECONDS": "2",
        "HIPPOCAMP_PREPROCESS_SECONDS": "8",
        "HIPPOCAMP_STOP_SECONDS": "1",
        "PYTHONFAULTHANDLER": "1",
    }
    with running(environment, tmp_path) as started:
        yield started


def keep_up(place: Workplace, *job_ids: str) -> bool:
    """What beat would do; whether all these jobs are at rest or ready for inference."""
    maintain.reap(place)
    maintain.top_up(place, Stage.PREPROCESS)
    states = [place.line.get(job_id).state for job_id in job_ids]
    return all(state.is_terminal or state is JobState.QUEUED_INFER for state in states)


def at_work(place: Workplace, job_id: str, step: str) -> bool:
    return place.line.record(job_id).get("step") == step


def test_a_child_killed_in_the_middle_loses_nothing(place: Workplace, workers: Workers) -> None:
    worker = workers.start(OBEDIENT, "worker", "-Q", "preprocess", "-c", "1")
    job_id = submit(place.line, place.blobs, "sleep 1.5")
    wake(place.redis, Stage.PREPROCESS)
    eventually(lambda: at_work(place, job_id, "sleep 1.5"))
    for child in children(worker):
        os.kill(child, signal.SIGKILL)
    eventually(lambda: keep_up(place, job_id))
    job = place.line.get(job_id)
    assert job.state is JobState.QUEUED_INFER
    assert place.line.record(job_id)["fence"] == "3"


def test_poison_ends_after_three_lives_and_takes_no_innocent_along(
    place: Workplace, workers: Workers
) -> None:
    workers.start(OBEDIENT, "worker", "-Q", "preprocess", "-c", "2")
    innocent = [submit(place.line, place.blobs, f"level {n}\nsleep 0.1") for n in range(10)]
    bad = submit(place.line, place.blobs, "die")
    innocent += [submit(place.line, place.blobs, f"level {n}\nsleep 0.1") for n in range(10)]
    eventually(lambda: keep_up(place, bad, *innocent), within=40)
    assert {place.line.get(j).state for j in innocent} == {JobState.QUEUED_INFER}
    job = place.line.get(bad)
    assert (job.state, job.text("error_code"), job.attempt) == (JobState.FAILED, "poison", 3)


def test_a_hang_is_killed_and_counted(place: Workplace, workers: Workers) -> None:
    workers.start(OBEDIENT, "worker", "-Q", "preprocess", "-c", "1")
    job_id = submit(place.line, place.blobs, "sleep 60")
    wake(place.redis, Stage.PREPROCESS)
    eventually(lambda: at_work(place, job_id, "sleep 60"))
    eventually(lambda: place.line.get(job_id).state is JobState.QUEUED or keep_up(place), within=15)
    eventually(lambda: keep_up(place) and place.line.get(job_id).attempt == 2, within=15)


def test_sigterm_hands_a_long_job_back_uncounted_in_bounded_time(place: Workplace, workers: Workers) -> None:
    worker = workers.start(OBEDIENT, "worker", "-Q", "preprocess", "-c", "1")
    job_id = submit(place.line, place.blobs, "sleep 30")
    wake(place.redis, Stage.PREPROCESS)
    eventually(lambda: at_work(place, job_id, "sleep 30"))
    started = time.monotonic()
    worker.terminate()
    worker.wait(20)
    assert time.monotonic() - started < 7.5
    job = place.line.get(job_id)
    assert (job.state, job.attempt) == (JobState.QUEUED, 0)
    assert job.text("last_error") == "worker stopped"


def test_sigterm_lets_a_short_job_finish(place: Workplace, workers: Workers) -> None:
    workers.environment["HIPPOCAMP_STOP_SECONDS"] = "20"  # room for a busy machine; the job needs 0.6 s
    worker = workers.start(OBEDIENT, "worker", "-Q", "preprocess", "-c", "1")
    job_id = submit(place.line, place.blobs, "sleep 0.6")
    wake(place.redis, Stage.PREPROCESS)
    eventually(lambda: at_work(place, job_id, "sleep 0.6"))
    worker.terminate()
    worker.wait(30)
    assert place.line.get(job_id).state is JobState.QUEUED_INFER
    assert '"event": "job.prepared"' in workers.log()


def test_no_worker_idles_while_the_line_holds_work(place: Workplace, workers: Workers) -> None:
    for _ in range(2):
        workers.start(OBEDIENT, "worker", "-Q", "preprocess", "-c", "1")
    eventually(lambda: all(len(children(w)) >= 1 for w in workers.started))
    time.sleep(1)
    jobs = [submit(place.line, place.blobs, f"level {n}\nsleep 0.5") for n in range(6)]
    wake(place.redis, Stage.PREPROCESS, 6)
    eventually(lambda: keep_up(place, *jobs))
    names = [place.line.record(j)["worker"] for j in jobs]
    assert min(names.count(n) for n in set(names)) >= 2  # 3, but for a hiccup of half a second
    assert len(set(names)) == 2


def test_the_whole_system_runs_by_itself(place: Workplace, workers: Workers, tmp_path: Path) -> None:
    workers.start(OBEDIENT, "worker", "-Q", "preprocess", "-c", "1")
    workers.start("workers.app:app", "worker", "-Q", "infer", "-c", "2")
    workers.start("workers.app:app", "worker", "-Q", "deliver,maintain", "-c", "1")
    workers.start("workers.app:app", "beat", "-s", str(tmp_path / "beat"))
    jobs = [submit(place.line, place.blobs, f"level {n}", site=f"site{n % 3}") for n in range(12)]
    eventually(lambda: all(place.line.get(j).state is JobState.SUCCEEDED for j in jobs), within=40)
    eventually(lambda: place.redis.llen("hc:garbage") == 0)
    eventually(lambda: place.redis.exists("hc:health:model_server"))
