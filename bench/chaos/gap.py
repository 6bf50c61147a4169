"""Workers that die between pop and un-acked record: what plain Celery and the job store lose there."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping

import redis

from bench.chaos import plain
from bench.chaos.gap_point import VARIABLE
from bench.chaos.system import System

QUICK, FULL = 10, 200
_AT_ONCE = 3


def kill_in_the_gap(system: System, over: threading.Event) -> None:
    """Kill so many workers of ours at that point while jobs wait; then as many of plain Celery's."""
    kills = FULL if system.full else QUICK
    system.scale("preprocess_b", 0)
    system.scale("preprocess", 1)
    environment = system.stack.settings.environment()
    ours = _kill(kills, "bench.chaos.scaled", "preprocess", environment, until=over.is_set)
    system.scale("preprocess", 2)
    system.scale("preprocess_b", 2)
    lost, sent = _plain(system, kills)
    system.note = f"{ours} workers killed there; plain Celery lost {lost} of {sent} with {kills} kills"
    system.breaches["gap_not_reached"] = max(0, kills // 2 - ours)


def _plain(system: System, kills: int) -> tuple[int, int]:
    """(lost, sent) of plain Celery on the same Redis, another database."""
    url = system.redis_url.removesuffix("/0") + "/1"
    environment = system.stack.settings.environment() | {"HIPPOCAMP_CHAOS_PLAIN": url}
    sent = kills + 20
    client: redis.Redis = redis.Redis.from_url(url)
    with plain.app.connection_for_write(url) as sender:
        for n in range(sent):
            plain.work.apply_async((str(n),), connection=sender, queue=plain.QUEUE)
    _kill(kills, "bench.chaos.plain", plain.QUEUE, environment, until=lambda: False)
    with _worker("bench.chaos.plain", plain.QUEUE, environment) as healthy:
        _until_still(lambda: int(client.scard(plain.DONE)))
        healthy.kill()
    done = int(client.scard(plain.DONE))
    client.close()
    return sent - done, sent


def _kill(
    kills: int, app: str, queue: str, environment: Mapping[str, str], *, until: Callable[[], bool]
) -> int:  # fmt: skip
    """Start doomed workers, a few at a time; how many found a message and died of it."""
    doomed = {**environment, VARIABLE: "1"}
    running: list[subprocess.Popen[bytes]] = []
    died = 0
    while died < kills and not until():
        while len(running) < min(_AT_ONCE, kills - died):
            running.append(_worker(app, queue, doomed))
        time.sleep(0.05)
        died += sum(one.poll() is not None for one in running)
        running = [one for one in running if one.poll() is None]
    for one in running:
        one.kill()
        one.wait(10)
    return died


def _worker(app: str, queue: str, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    command = [
        sys.executable, "-m", "celery", "-A", app, "worker", "-Q", queue, "--pool=solo", "--without-gossip",
        "--without-mingle", "-n", f"gap-{time.monotonic_ns()}@local",
    ]  # fmt: skip
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def _until_still(figure: Callable[[], int], *, seconds: float = 8) -> None:
    """Until the figure has not changed for so long: longer than Celery needs to give a message back."""
    last, since = -1, time.monotonic()
    while time.monotonic() - since < seconds:
        if (now := figure()) != last:
            last, since = now, time.monotonic()
        time.sleep(0.1)
