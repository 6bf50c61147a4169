"""The reconciler on real processes: what ends is started again, in its place, and `down` ends it."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
import redis

from deploy.local import reconciler, services
from deploy.local.reconciler import Reconciler
from deploy.local.running import MARK
from deploy.local.services import Service
from deploy.local.settings import LocalSettings
from deploy.local.supervisor import LocalSystem
from runtime.redis_connections import connect
from tests.support.waiting import eventually


def first(_: LocalSettings) -> Service:
    """Sleeps, with a child of its own."""
    script = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    return Service(name="first", command=[sys.executable, "-c", script])


def second(_: LocalSettings) -> Service:
    return Service(name="second", command=[sys.executable, "-c", "import time; time.sleep(60)"])


def mayfly(_: LocalSettings) -> Service:
    return Service(name="mayfly", command=[sys.executable, "-c", ""])


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., LocalSystem]]:
    """Start services without waiting for a gateway; all are stopped at the end."""
    stacks = []

    def go(*services: Callable[[LocalSettings], Service]) -> LocalSystem:
        stack = LocalSystem(LocalSettings(start_seconds=180).beside(tmp_path), services)
        stacks.append(stack)
        (tmp_path / "logs").mkdir()
        for one in services:
            stack.restart(one.__name__)
        return stack

    yield go
    for stack in stacks:
        reconciler.stop(stack.settings)
        stack.down()


def kill(stack: LocalSystem, name: str) -> int:
    (pid,) = [item.pid for item in stack.remembered() if item.name == name]
    os.kill(pid, signal.SIGKILL)
    psutil.Process(pid).wait(60) if psutil.pid_exists(pid) else None
    return pid


def test_what_ended_is_started_again_in_its_place(start: Callable[..., LocalSystem]) -> None:
    stack = start(first, second)
    assert Reconciler(stack).look() == []
    child = psutil.Process(stack.remembered()[0].pid)
    eventually(child.children)
    (grandchild,) = child.children()
    pid = kill(stack, "first")
    assert Reconciler(stack).look() == ["first"]
    assert [item.name for item in stack.remembered()] == ["first", "second"], (
        "stopped in this order, reversed"
    )
    assert stack.remembered()[0].pid != pid
    assert stack.is_up()
    assert reconciler.restarts(stack.settings) == {"first": 1}
    eventually(lambda: not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE)


def test_who_ends_at_once_is_left_alone_for_longer_and_longer(start: Callable[..., LocalSystem]) -> None:
    stack = start(mayfly)
    now = [0.0]
    watch = Reconciler(stack, clock=lambda: now[0])
    seen = []
    for moment in range(200):
        now[0] = float(moment)
        eventually(lambda: stack.remembered()[0].process() is None)
        if watch.look():
            seen.append(moment)
    assert seen[:6] == [0, 1, 3, 7, 15, 31]
    assert all(later - sooner <= 64 for sooner, later in pairwise(seen))


def test_the_reconciler_works_beside_and_ends_before_what_it_keeps(start: Callable[..., LocalSystem]) -> None:
    stack = start(second)
    process = reconciler.start(stack.settings)
    assert process is not None
    assert reconciler.start(stack.settings) is None
    assert reconciler.living(stack.settings)
    (mine,) = json.loads((stack.settings.folder / "loop.json").read_text())
    eventually(lambda: "keep" in psutil.Process(mine["pid"]).cmdline())  # empty for a moment of its exec
    reconciler.stop(stack.settings)
    process.wait(60)
    assert not reconciler.living(stack.settings)
    kill(stack, "second")
    time.sleep(0.1)
    assert not stack.is_up(), "nobody starts it again"


def test_a_full_disk_does_not_end_the_reconciler(
    start: Callable[..., LocalSystem], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HIPPOCAMP_LOG_BYTES", str(1 << 20))
    stack = start(second)
    process = reconciler.start(stack.settings)
    assert process is not None
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1 << 19, resource.RLIM_INFINITY))
    log = stack.settings.folder / "logs" / "second.log"
    for _ in range(2):
        log.write_bytes(b"x" * (1 << 20))
        eventually(lambda: process.poll() is not None or log.stat().st_size == 0)
        assert process.poll() is None
    kept = [path.name for path in log.parent.iterdir() if path.name.startswith("second.log")]
    assert kept == ["second.log"]
    reconciler.stop(stack.settings)
    process.wait(60)


def test_a_redis_that_was_killed_comes_back_with_what_it_held(start: Callable[..., LocalSystem]) -> None:
    stack = start(services.redis)
    client = connect(f"redis://127.0.0.1:{stack.settings.ports.redis}/0", retries=0)
    client.set("kept", "yes")
    kill(stack, "redis")
    assert Reconciler(stack).look() == ["redis"]

    def answers() -> bool:
        with suppress(redis.RedisError):
            return client.get("kept") == "yes"
        return False

    eventually(answers)
    client.close()


@pytest.mark.parametrize("text", ["", "[{", '{"a": 1}', '[{"name": "first"}]'])
def test_a_note_that_a_full_disk_cut_off_is_no_note(start: Callable[..., LocalSystem], text: str) -> None:
    stack = start(second)
    for name in ("state.json", "restarts.json", "loop.json"):
        (stack.settings.folder / name).write_text(text)
    assert reconciler.restarts(stack.settings) in ({}, {"a": 1})
    assert not reconciler.living(stack.settings)
    assert stack.remembered() == []
    stack.down()
    marked = [one for one in psutil.process_iter() if "time.sleep(60)" in str(_words(one))]
    assert [one for one in marked if _mark(one) == str(stack.settings.folder)] == []


def test_down_leaves_no_counters_in_memory(start: Callable[..., LocalSystem]) -> None:
    stack = start(second)
    (item,) = stack.remembered()
    process = psutil.Process(item.pid)
    eventually(lambda: "PROMETHEUS_MULTIPROC_DIR" in process.environ())  # empty for a moment of its exec
    folder = Path(process.environ()["PROMETHEUS_MULTIPROC_DIR"])
    assert folder.is_dir()
    stack.down()
    assert not folder.parent.exists()


def _words(process: psutil.Process) -> list[str]:
    with suppress(psutil.Error):
        return process.cmdline()
    return []


def _mark(process: psutil.Process) -> str:
    with suppress(psutil.Error, OSError):
        return process.environ().get(MARK, "")
    return ""
