"""Every stage has a queue, a task and a process that consumes it."""

from __future__ import annotations

from pathlib import Path

from contracts.states import MOST_ATTEMPTS, Stage
from deploy.local import services
from deploy.local.settings import LocalSettings
from jobstore.wakeups import MAINTAIN_QUEUE, TASK


def consumed(tmp_path: Path) -> set[str]:
    settings = LocalSettings().beside(tmp_path)
    started = [services.preprocess, services.infer, services.deliver, services.maintain]
    found: set[str] = set()
    for make in started:
        command = make(settings).command
        found |= set(command[command.index("-Q") + 1].split(","))
    return found


def test_every_queue_has_a_consumer_and_no_other_exists(tmp_path: Path) -> None:
    assert consumed(tmp_path) == {*map(str, Stage), MAINTAIN_QUEUE}


def test_every_stage_has_a_task_and_a_limit_of_attempts() -> None:
    assert set(TASK) == set(MOST_ATTEMPTS) == set(Stage)


def test_every_worker_process_is_started_by_the_local_system() -> None:
    assert {services.preprocess, services.infer, services.deliver, services.maintain} <= set(services.ALL)
